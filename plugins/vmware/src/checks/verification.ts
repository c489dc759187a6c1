/**
 * What an operator has looked at before the first migration (`lmas endpoint test`): all that the lab's stand-ins had to assume and
 * only this vCenter can show. Read-only.
 */
import { PluginError, type VerificationQuestion } from '@lmas/plugin-api';
import { listed } from '../in-words.ts';
import { type Host, isLive } from '../inventory/places.ts';
import { Watch } from '../properties.ts';
import { type KernelNetwork, readKernelNetworks } from '../routes/host-network.ts';
import type { KernelAddress } from '../routes/reckoning.ts';
import type { VmwareSession } from '../session.ts';
import { failed, namesOf } from './outcome.ts';
import { rights } from './rights.ts';
import { gateway } from './verified-gateway.ts';

interface Options {
  readonly signal: AbortSignal;
}

export function verification(session: VmwareSession): readonly VerificationQuestion[] {
  let seen: readonly KernelNetwork[] | undefined;
  const networks = async (options: Options): Promise<readonly KernelNetwork[]> => {
    seen ??= await readKernelNetworks(session.client, (await session.members(options)).filter(isLive), options);
    return seen;
  };
  return [
    { name: 'version', ask: () => version(session) },
    { name: 'certificate', ask: () => certificate(session) },
    { name: 'hosts', ask: async (options) => hostsInWords(session, await session.members(options)) },
    { name: 'vmotion', needs: ['hosts'], ask: async (options) => vmotion(await networks(options)) },
    { name: 'gateway', needs: ['vmotion'], ask: async (options) => gateway(session.config, await networks(options)) },
    { name: 'provisioning', needs: ['hosts'], ask: async (options) => provisioning(await networks(options)) },
    { name: 'updates', ask: (options) => updates(session, options) },
    { name: 'check', ask: async () => nativeCheck(session) },
    { name: 'rights', needs: ['hosts'], ask: (options) => rights(session, options) },
  ];
}

async function version({ client }: VmwareSession): Promise<string> {
  const { fullName, apiVersion, instanceUuid } = client.content.about;
  if (instanceUuid === undefined) {
    throw new PluginError(
      'INCOMPATIBLE',
      `${fullName} does not tell its instance UUID, so no other vCenter can be led to it.`,
    );
  }
  return `${fullName}, API ${apiVersion}, spoken as ${client.protocol === 'json' ? 'VI/JSON' : 'SOAP'}; instance ${instanceUuid}.`;
}

/** What another vCenter will be told to expect. */
async function certificate({ client }: VmwareSession): Promise<string> {
  const { certificate: seen } = client;
  if (seen === undefined) throw new PluginError('UNREACHABLE', 'No certificate was seen.');
  return `SHA-1 ${seen.thumbprint}: the same as what other vCenters reach at its serviceUrl must show.`;
}

function hostsInWords({ config }: VmwareSession, hosts: readonly Host[]) {
  const named = new Set(hosts.flatMap(({ ref, record }) => [ref.value, record.name]));
  const unknown = config.hosts.filter((name) => !named.has(name));
  const seen = listed(hosts.map(hostInWords), ', ');
  if (hosts.length === 0 || unknown.length > 0) {
    return failed(
      `${seen || 'No host'}; not there: ${unknown.join(', ') || 'any'}.`,
      'Correct `hosts` of the endpoint, or let the login see them.',
    );
  }
  return `${hosts.length}: ${seen}.`;
}

function hostInWords(host: Host): string {
  const version = host.record['config.product.version'] ?? 'version unknown';
  return `${host.record.name} (${version}${isLive(host) ? '' : ', not usable now'})`;
}

function vmotion(networks: readonly KernelNetwork[]) {
  const adapterInWords = ({ device, address, prefixLength, stack, mtu }: KernelAddress): string =>
    `${device} ${address}/${prefixLength} on ${stack}, MTU ${mtu}`;
  const inWords = ({ host, addresses }: KernelNetwork): string =>
    `${host.record.name}: ${addresses.vmotion.map(adapterInWords).join(' and ') || 'none'}`;
  const without = networks.filter(({ addresses }) => addresses.vmotion.length === 0);
  if (without.length === 0) return `${listed(networks.map(inWords), '; ')}.`;
  // Those that lack one first: they are what is looked for.
  const seen = listed([...without, ...networks.filter((network) => !without.includes(network))].map(inWords), '; ');
  return failed(
    `${without.length} of ${networks.length} have none. ${seen}.`,
    'Enable vMotion on a VMkernel adapter of each host, best on the vMotion TCP/IP stack.',
  );
}

function provisioning(networks: readonly KernelNetwork[]) {
  const without = networks.filter(({ addresses }) => addresses.provisioning.length === 0);
  if (without.length === 0) return `All of ${networks.length} have an adapter for it.`;
  return {
    outcome: 'skipped',
    seen: `${without.length} of ${networks.length} (${listed(namesOf(without), ', ')}): no adapter of its own; cold data goes over management, past the gateways.`,
    remedy: null,
  } as const;
}

/** The way in which a task's progress will come. */
async function updates({ client }: VmwareSession, options: Options): Promise<string> {
  const watch = await Watch.object(client, client.content.rootFolder, ['name'], options);
  try {
    const [first] = await watch.next(0, options);
    if (first === undefined)
      throw new PluginError('HYPERVISOR_FAULT', 'WaitForUpdatesEx told nothing of the root folder.');
    return `WaitForUpdatesEx tells changes (${first.obj.value}).`;
  } finally {
    await watch.close();
  }
}

function nativeCheck({ client }: VmwareSession) {
  if (client.content.vmProvisioningChecker !== undefined) return 'CheckRelocate_Task is offered.';
  return {
    outcome: 'skipped',
    seen: 'This vCenter offers no CheckRelocate_Task; our own checks remain.',
    remedy: null,
  } as const;
}
