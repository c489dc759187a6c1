/**
 * Where the copy's NICs go: a libvirt network or a bridge of the destination, and whether anything but copies can be reached
 * there. The copy has the VM's addresses, so a network that leads anywhere is refused, whatever it is called. libvirt sees to it
 * that nothing is forwarded from a network without `<forward>`, but not to what somebody plugs into its bridge. A bridge with a
 * VLAN or a tunnel in it may be one for drills; only a person can tell.
 */
import { type DrillRequest, type Finding, PluginError } from '@lmas/plugin-api';
import { blocker, warning } from '../checks/types.ts';
import type { KvmOptions } from '../config.ts';
import type { Definition } from '../definition/definition.ts';
import { attribute, descend, parseXml } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import type { KvmSession } from '../session.ts';
import { type Bridge, readBridge } from './bridges.ts';
import type { NicTarget } from './devices.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Wiring {
  /** Source network → where its NICs go. */
  readonly targets: Readonly<Record<string, NicTarget>>;
  readonly findings: readonly Finding[];
}

/** Without a target nothing is connected: a finding says why. */
type Seen = { readonly target?: NicTarget; readonly findings: readonly Finding[] };

/** Only what the VM has counts; the map is often one for many VMs. */
export async function wire(
  destination: KvmSession,
  definition: Definition,
  { networkMap }: DrillRequest<KvmOptions>,
  options: Options,
): Promise<Wiring> {
  const sources = new Set(definition.interfaces.flatMap(({ source }) => source ?? []));
  const targets: Record<string, NicTarget> = {};
  const findings: Finding[] = [];
  const networks = await networkModes(destination, options);
  for (const source of sources) {
    if (!Object.hasOwn(networkMap, source)) {
      const message = `The NICs of ${source} have no link in the copy: no isolated network is named for it.`;
      findings.push(warning('DRILL_NETWORK_NOT_MAPPED', message, 'Name an isolated network for it, if it matters.'));
      continue;
    }
    const seen = await look(destination, networkMap[source] ?? '', networks, options);
    findings.push(...seen.findings);
    if (seen.target !== undefined) targets[source] = seen.target;
  }
  return { targets, findings };
}

/** @throws PluginError INCOMPATIBLE when a network is not there, or leads anywhere */
export async function wireOrRefuse(...args: Parameters<typeof wire>): Promise<Wiring> {
  const wiring = await wire(...args);
  refuseBlocked(wiring.findings);
  return wiring;
}

/** Looked at again, since the disks may have taken hours. @throws PluginError INCOMPATIBLE as `wireOrRefuse` */
export async function assertStillIsolated(
  destination: KvmSession,
  names: readonly string[],
  options: Options,
): Promise<void> {
  if (names.length === 0) return;
  const networks = await networkModes(destination, options);
  for (const name of names) refuseBlocked((await look(destination, name, networks, options)).findings);
}

function refuseBlocked(findings: readonly Finding[]): void {
  const refused = findings.find(({ severity }) => severity === 'blocker');
  if (refused !== undefined) throw new PluginError('INCOMPATIBLE', refused.message, { remedy: refused.remedy });
}

interface Mode {
  /** `<forward mode>`; `undefined` for an isolated network. */
  readonly forward: string | undefined;
  readonly bridge: string | undefined;
}

/** VIR_CONNECT_LIST_NETWORKS_ACTIVE: one that is not started takes nobody in. */
const ACTIVE = 2;

async function networkModes(session: KvmSession, options: Options): Promise<ReadonlyMap<string, Mode>> {
  const client = await session.query(options);
  const modes = new Map<string, Mode>();
  try {
    const { networks } = await client.call('connectListAllNetworks', { needResults: 1, flags: ACTIVE }, options);
    for (const network of networks) {
      const { xml } = await client.call('networkGetXmlDesc', { network, flags: 0 }, options);
      const { root } = parseXml(xml, 'network');
      const forward = descend(root, 'forward');
      modes.set(network.name, {
        forward: forward === undefined ? undefined : (attribute(forward, 'mode') ?? 'nat'),
        bridge: attribute(descend(root, 'bridge'), 'name'),
      });
    }
  } catch (error) {
    // A host without the network driver has none.
    if (!isFault(error)) throw error;
  }
  return modes;
}

async function look(
  session: KvmSession,
  name: string,
  networks: ReadonlyMap<string, Mode>,
  options: Options,
): Promise<Seen> {
  const mode = networks.get(name);
  if (mode === undefined) {
    // The bridge of a network of libvirt's leads where that network does.
    const [owner] = [...networks].find(([, { bridge }]) => bridge === name) ?? [];
    if (owner !== undefined) return look(session, owner, networks, options);
    return lookAtBridge(session, name, { kind: 'bridge', name }, options);
  }
  const target: NicTarget = { kind: 'network', name };
  if (mode.forward === undefined || mode.forward === 'none') return lookAtIsolated(session, mode, target, options);
  if (mode.forward === 'bridge' && mode.bridge !== undefined) {
    return lookAtBridge(session, mode.bridge, target, options);
  }
  const message = `The network ${name} of the destination leads out of it (${mode.forward}): the copy would meet the VM's peers.`;
  return refuse('DRILL_NETWORK_NOT_ISOLATED', message, 'Define a network without <forward> there, and name that one.');
}

const refuse = (code: string, message: string, remedy: string): Seen => ({
  findings: [blocker(code, message, remedy)],
});

function missing(bridge: string): Seen {
  const message = `The destination has no bridge ${bridge}, and no network of that name that is started.`;
  return refuse('NETWORK_MISSING', message, 'Define an isolated one there, or name another one.');
}

/** libvirt keeps it apart from the host's other networks, also where the host has an address in it. */
async function lookAtIsolated(session: KvmSession, mode: Mode, target: NicTarget, options: Options): Promise<Seen> {
  const name = mode.bridge ?? '';
  const bridge = await readBridge(session, name, options);
  if (bridge === null) return missing(name);
  const ways = [...bridge.waysOut, ...bridge.overlays];
  if (ways.length > 0) {
    const message = `The network ${target.name} of the destination has no <forward>, but its bridge ${name} leads out of it by ${ways.join(', ')}: the copy would meet the VM's peers.`;
    const remedy = `Take that out of ${name} (ip link set dev … nomaster; what stands on it: ip link del dev …), or name another network.`;
    return refuse('DRILL_NETWORK_NOT_ISOLATED', message, remedy);
  }
  if (bridge.vms.length === 0) return { target, findings: [] };
  const message = `Other VMs are in the network ${target.name} of the destination, and meet the copy: ${bridge.vms.join(', ')}.`;
  return {
    target,
    findings: [warning('DRILL_NETWORK_SHARED', message, 'Make sure that they are there for drills.')],
  };
}

/** One that is not libvirt's: nobody but a person keeps it apart. */
async function lookAtBridge(session: KvmSession, name: string, target: NicTarget, options: Options): Promise<Seen> {
  const bridge = await readBridge(session, name, options);
  if (bridge === null) return missing(name);
  const reasons = reasonsAgainst(bridge);
  if (reasons.length > 0) {
    const message = `The bridge ${name} of the destination is not for copies alone: ${reasons.join('; ')}. They would meet the copy, which has the VM's addresses.`;
    const remedy =
      'Name a bridge that has no address and nothing plugged in, or a libvirt network without <forward>, where the host may have an address and VMs may take part in drills.';
    return refuse('DRILL_NETWORK_NOT_ISOLATED', message, remedy);
  }
  if (bridge.overlays.length === 0) return { target, findings: [] };
  const message = `The bridge ${name} of the destination has an uplink (${bridge.overlays.join(', ')}): whoever is behind it meets the copy.`;
  const remedy = 'Make sure that nothing but copies is in that network.';
  return { target, findings: [warning('DRILL_NETWORK_HAS_UPLINK', message, remedy)] };
}

function reasonsAgainst({ waysOut, vms, addresses }: Bridge): string[] {
  return [
    ...(waysOut.length > 0 ? [`it leads out by ${waysOut.join(', ')}`] : []),
    ...(addresses.length > 0 ? [`the host is in it as ${addresses.join(', ')}, and may route`] : []),
    ...(vms.length > 0 ? [`VMs are in it: ${vms.join(', ')}`] : []),
  ];
}
