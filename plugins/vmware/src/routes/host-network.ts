/**
 * A host's VMkernel network as far as a migration needs it: which adapters carry vMotion and provisioning (NFC), on which TCP/IP
 * stack, with which addresses and routes. Changes nothing.
 */
import { PluginError } from '@lmas/plugin-api';
import type { Options, VimClient } from '../client.ts';
import { type Host, isLive } from '../inventory/places.ts';
import { readObject, readObjects } from '../properties.ts';
import { type HostNetwork, hostNetworkSchema, type NetStack, nothingSchema } from '../records.ts';
import { type Ref, sameRef } from '../wire/data-objects.ts';
import { addressesOf, type KernelAddress } from './reckoning.ts';

/** A service of VMkernel adapters: HostVirtualNicManager's name of it, and the stack that is made for it. */
export const SERVICES = {
  vmotion: { nicType: 'vmotion', stack: 'vmotion', port: 8000 },
  /** Network file copy: cold disks, snapshots' disks. */
  provisioning: { nicType: 'vSphereProvisioning', stack: 'vSphereProvisioning', port: 902 },
} as const;
export type Service = keyof typeof SERVICES;
export const SERVICE_NAMES = ['vmotion', 'provisioning'] as const satisfies readonly Service[];

export interface KernelNetwork {
  readonly host: Host;
  readonly record: HostNetwork;
  readonly networkSystem: Ref | undefined;
  readonly addresses: Readonly<Record<Service, readonly KernelAddress[]>>;
}

export async function readKernelNetwork(client: VimClient, host: Host, options: Options): Promise<KernelNetwork> {
  const record = await readObject(client, host.ref, hostNetworkSchema, options);
  if (record === null) throw new PluginError('INCOMPATIBLE', `The host ${host.record.name} is gone.`);
  return kernelNetworkOf(host, record);
}

const networkSystemSchema = hostNetworkSchema.pick({ 'configManager.networkSystem': true });
/** A host that does not answer keeps nobody waiting for long. */
const REFRESH_TIMEOUT_MS = 20_000;

/**
 * What was set at the host itself (esxcli) its vCenter need not show yet: the host is asked anew. That takes Host.Config.Network, which a
 * login needs for temporary routes only; so whatever becomes of it, what the vCenter shows afterwards is what there is to know.
 */
export async function refreshNetwork(client: VimClient, host: Host, { signal }: Options): Promise<void> {
  if (!isLive(host)) return;
  try {
    const record = await readObject(client, host.ref, networkSystemSchema, { signal });
    const networkSystem = record?.['configManager.networkSystem'];
    if (networkSystem === undefined) return;
    const options = { signal, timeoutMs: REFRESH_TIMEOUT_MS };
    await client.call(networkSystem, 'RefreshNetworkSystem', {}, nothingSchema, options);
  } catch {
    signal.throwIfAborted();
  }
}

/** Of one host about 50 kB are read. */
const HOSTS_AT_A_TIME = 32;

/** Those of many hosts; without the ones that are gone meanwhile. */
export async function readKernelNetworks(
  client: VimClient,
  hosts: readonly Host[],
  options: Options,
): Promise<KernelNetwork[]> {
  const networks: KernelNetwork[] = [];
  for (let at = 0; at < hosts.length; at += HOSTS_AT_A_TIME) {
    const some = hosts.slice(at, at + HOSTS_AT_A_TIME);
    const rows = await readObjects(
      client,
      some.map(({ ref }) => ref),
      hostNetworkSchema,
      options,
    );
    for (const host of some) {
      const record = rows.find(({ ref }) => sameRef(ref, host.ref))?.record;
      if (record !== undefined) networks.push(kernelNetworkOf(host, record));
    }
  }
  return networks;
}

const kernelNetworkOf = (host: Host, record: HostNetwork): KernelNetwork => ({
  host,
  record,
  networkSystem: record['configManager.networkSystem'],
  addresses: { vmotion: addressesFor(record, 'vmotion'), provisioning: addressesFor(record, 'provisioning') },
});

export const stackOf = ({ record }: KernelNetwork, key: string): NetStack | undefined =>
  record['config.network.netStackInstance'].find((stack) => stack.key === key);

/**
 * The adapters that are selected for the service, and those on its own stack; as soon as there is one of these, vSphere does not
 * use the others.
 */
function addressesFor(record: HostNetwork, service: Service): KernelAddress[] {
  const { nicType, stack } = SERVICES[service];
  const vnics = record['config.network.vnic'];
  const onStack = vnics.filter(({ spec }) => spec.netStackInstanceKey === stack);
  if (onStack.length > 0) return onStack.flatMap(addressesOf);
  const config = record['config.virtualNicManagerInfo.netConfig'].find((each) => each.nicType === nicType);
  // What is selected are keys of candidates, whose devices are those of the host's adapters.
  const selected = (config?.candidateVnic ?? []).filter(
    ({ key, device }) => config?.selectedVnic.some((name) => name === key || name.endsWith(`-${device}`)) === true,
  );
  const devices = new Set(selected.map(({ device }) => device));
  return vnics.filter(({ device }) => devices.has(device)).flatMap(addressesOf);
}
