/**
 * The one argument of RelocateVM_Task, and of its check. It holds the destination's password where two vCenters are in it:
 * it is made where it is sent, and goes nowhere else.
 */
import type { VmwareSession } from '../session.ts';
import { type DataObject, data } from '../wire/data-objects.ts';
import { compareVersions } from '../wire/versions.ts';
import { rewired } from './network-cards.ts';
import type { Ends, Plan } from './plan.ts';

/** Since then a certificate may be given in place of its SHA-1 fingerprint. */
const KNOWS_CERTIFICATES = '9.0.0.0';

export function relocateSpec(ends: Ends, plan: Plan): DataObject<'VirtualMachineRelocateSpec'> {
  const { storagePolicy, diskMoveType } = plan.request.options;
  const profile =
    storagePolicy === undefined ? undefined : [data('VirtualMachineDefinedProfileSpec', { profileId: storagePolicy })];
  // A policy is for all disks, also where all of them stay.
  const namesDisks = plan.datastore !== undefined || profile !== undefined;
  const changed = plan.cards.filter(({ changes }) => changes);
  return data('VirtualMachineRelocateSpec', {
    service: plan.sameVCenter ? undefined : serviceLocator(ends),
    folder: plan.folder,
    datastore: plan.datastore,
    diskMoveType: namesDisks ? diskMoveType : undefined,
    pool: plan.pool,
    // Without one it stays on the host that it has then.
    host: plan.request.disksAlone === true ? undefined : plan.host?.ref,
    disk: namesDisks ? diskLocators(plan, diskMoveType, profile) : undefined,
    deviceChange: changed.flatMap((card) =>
      card.network === undefined
        ? []
        : [data('VirtualDeviceConfigSpec', { operation: 'edit', device: rewired(card, card.network) })],
    ),
    profile,
  });
}

function diskLocators(
  { disks }: Plan,
  diskMoveType: string | undefined,
  profile: readonly DataObject<'VirtualMachineDefinedProfileSpec'>[] | undefined,
) {
  return disks.flatMap(({ device, datastore }) =>
    datastore === undefined
      ? []
      : [
          data('VirtualMachineRelocateSpecDiskLocator', {
            diskId: device.key,
            datastore: datastore.ref,
            diskMoveType,
            profile,
          }),
        ],
  );
}

/** How the source vCenter finds the other one, and knows it: by the certificate that we have verified ourselves. */
function serviceLocator({ source, destination }: Ends): DataObject<'ServiceLocator'> {
  const { client } = destination;
  const { username, password } = client.login;
  const { certificate } = client;
  source.client.keepSecret(password);
  const knowsCertificates = compareVersions(source.client.content.about.apiVersion, KNOWS_CERTIFICATES) >= 0;
  return data('ServiceLocator', {
    instanceUuid: client.content.about.instanceUuid ?? '',
    url: serviceUrl(destination),
    credential: data('ServiceLocatorNamePassword', { username, password }),
    sslThumbprint: certificate?.thumbprint,
    sslCertificate: knowsCertificates ? certificate?.pem : undefined,
  });
}

export function serviceUrl({ config }: VmwareSession): string {
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  return config.serviceUrl ?? `https://${host}:${config.port}/sdk`;
}
