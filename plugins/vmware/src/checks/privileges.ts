/** Whether the login may do what a migration needs: asked of the vCenters' own authorization, before anything is tried. */
import { blocker, type Finding, warning } from '@lmas/plugin-api';
import { isFault } from '../errors.ts';
import { entityPrivilegesSchema } from '../records.ts';
import type { VmwareSession } from '../session.ts';
import { type Ref, refKey } from '../wire/data-objects.ts';
import type { CheckContext } from './types.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Need {
  readonly entity: Ref;
  readonly name: string;
  readonly privileges: readonly string[];
}

/** As plugins/vmware/README.md lists them. */
export const PRIVILEGES = {
  vm: ['Resource.HotMigrate'],
  encryption: ['VirtualMachine.Config.Settings'],
  pool: ['Resource.AssignVMToPool'],
  datastore: ['Datastore.AllocateSpace'],
  network: ['Network.Assign'],
  folder: ['VirtualMachine.Inventory.Create'],
  host: ['Host.Config.Network'],
} as const;

export async function checkPrivileges({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  const { vm, host, pool, folder, disks, cards } = plan;
  const need = (entity: Ref | undefined, name: string, privileges: readonly string[]): Need[] =>
    entity === undefined ? [] : [{ entity, name, privileges }];
  const encryption = plan.request.options.encryption === 'disable' ? PRIVILEGES.encryption : [];
  const routes = (session: VmwareSession) =>
    plan.request.tunnelled && session.config.routes === 'temporary' ? PRIVILEGES.host : [];
  const atSource = [
    ...need(vm.ref, vm.record.name, [...PRIVILEGES.vm, ...encryption]),
    ...need(plan.sourceHost?.ref, plan.sourceHost?.record.name ?? '', routes(ends.source)),
  ];
  const atDestination = [
    ...need(pool, 'the resource pool', PRIVILEGES.pool),
    // Put back where the VM is then: there it is in that folder, and nowhere yet.
    ...need(folder, 'the folder', [...PRIVILEGES.folder, ...encryption]),
    ...need(host?.ref, host?.record.name ?? '', routes(ends.destination)),
    ...disks
      .filter(({ copied }) => copied)
      .flatMap(({ datastore }) => need(datastore?.ref, datastore?.record.name ?? '', PRIVILEGES.datastore)),
    ...cards
      .filter(({ changes }) => changes)
      .flatMap(({ network }) => need(network?.ref, network?.record.name ?? '', PRIVILEGES.network)),
  ];
  const found = await Promise.all([
    missingPrivileges(ends.source, atSource, { signal }),
    missingPrivileges(ends.destination, atDestination, { signal }),
  ]);
  return found.flat();
}

/** One finding for each thing of which something is missing. */
export async function missingPrivileges(
  session: VmwareSession,
  needs: readonly Need[],
  options: Options,
): Promise<Finding[]> {
  try {
    const lacking = await lackingPrivileges(session, needs, options);
    return lacking.map(({ name, privileges }) =>
      blocker(
        'PRIVILEGES_MISSING',
        `${session.client.login.username} lacks ${privileges.join(', ')} on ${name} at ${session.config.host}.`,
        'Give its role these privileges there, or on a folder above (plugins/vmware/README.md).',
      ),
    );
  } catch (error) {
    if (!isFault(error)) throw error;
    return [
      warning(
        'PRIVILEGES_NOT_SEEN',
        `The vCenter does not tell what the login may do: ${error.message}.`,
        'See that it may read the permissions.',
      ),
    ];
  }
}

/** Entities of one question: of large vCenters thousands are asked about. */
const ENTITIES_AT_A_TIME = 100;

/** Those of `needs` of which something is missing, with what that is. @throws VimFault where the vCenter does not tell */
export async function lackingPrivileges(
  session: VmwareSession,
  needs: readonly Need[],
  options: Options,
): Promise<Need[]> {
  const unique = mergedByEntity(needs).filter(({ privileges }) => privileges.length > 0);
  const lacking: Need[] = [];
  for (let at = 0; at < unique.length; at += ENTITIES_AT_A_TIME) {
    const some = unique.slice(at, at + ENTITIES_AT_A_TIME);
    const granted = await grantedOn(session, some, options);
    for (const need of some) {
      const isMissing = (privilege: string): boolean => granted.get(refKey(need.entity))?.get(privilege) === false;
      const privileges = need.privileges.filter(isMissing);
      if (privileges.length > 0) lacking.push({ ...need, privileges });
    }
  }
  return lacking;
}

function mergedByEntity(needs: readonly Need[]): Need[] {
  const merged = new Map<string, Need>();
  for (const need of needs) {
    const { privileges = [] } = merged.get(refKey(need.entity)) ?? {};
    merged.set(refKey(need.entity), { ...need, privileges: [...new Set([...privileges, ...need.privileges])] });
  }
  return [...merged.values()];
}

async function grantedOn({ client }: VmwareSession, needs: readonly Need[], options: Options) {
  const params = {
    entity: needs.map(({ entity }) => entity),
    sessionId: client.sessionKey ?? '',
    privId: [...new Set(needs.flatMap(({ privileges }) => privileges))],
  };
  const { authorizationManager } = client.content;
  const answer = await client.call(
    authorizationManager,
    'HasPrivilegeOnEntities',
    params,
    entityPrivilegesSchema,
    options,
  );
  return new Map(
    answer.map(({ entity, privAvailability }) => [
      refKey(entity),
      new Map(privAvailability.map(({ privId, isGranted }) => [privId, isGranted])),
    ]),
  );
}
