/**
 * Where the copy's NICs go: a libvirt network or a bridge of the destination, and whether anything but copies can be reached
 * there. The copy has the VM's addresses, so a network that leads anywhere is refused. A bridge with an uplink may be a VLAN
 * of its own for drills; only a person can tell.
 */
import { type DrillRequest, type Finding, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import { blocker, warning } from '../checks/types.ts';
import type { KvmOptions } from '../config.ts';
import type { Definition } from '../definition/definition.ts';
import { attribute, descend, parseXml } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import type { KvmSession } from '../session.ts';
import type { NicTarget } from './devices.ts';
import { failed } from './key.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Wiring {
  /** Source network → where its NICs go. */
  readonly targets: Readonly<Record<string, NicTarget>>;
  readonly findings: readonly Finding[];
}

type Seen = { readonly target?: NicTarget; readonly finding?: Finding };

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
    if (seen.finding !== undefined) findings.push(seen.finding);
    if (seen.target !== undefined) targets[source] = seen.target;
  }
  return { targets, findings };
}

/** @throws PluginError INCOMPATIBLE when a network is not there, or leads anywhere */
export async function wireOrRefuse(...args: Parameters<typeof wire>): Promise<Wiring> {
  const wiring = await wire(...args);
  const refused = wiring.findings.find(({ severity }) => severity === 'blocker');
  if (refused !== undefined) throw new PluginError('INCOMPATIBLE', refused.message, { remedy: refused.remedy });
  return wiring;
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
  if (mode.forward === undefined || mode.forward === 'none') return { target };
  if (mode.forward === 'bridge' && mode.bridge !== undefined) {
    return lookAtBridge(session, mode.bridge, target, options);
  }
  const message = `The network ${name} of the destination leads out of it (${mode.forward}): the copy would meet the VM's peers.`;
  const remedy = 'Define a network without <forward> there, and name that one.';
  return { finding: blocker('DRILL_NETWORK_NOT_ISOLATED', message, remedy) };
}

/** Of `ip -json -details link show`: what kind of device it is, if it is not a card. */
const linksSchema = z.array(
  z.object({ ifname: z.string().optional(), linkinfo: z.object({ info_kind: z.string().optional() }).optional() }),
);

/** What guests and containers of the host plug into a bridge with; anything else leads out of the host. */
const PLUGS: readonly (string | undefined)[] = ['tun', 'veth', 'dummy'];

async function links(session: KvmSession, which: readonly string[], options: Options) {
  const command = ['ip', '-json', '-details', 'link', 'show', ...which];
  const { exitCode, stdout, stderr } = await session.transport.exec(command, options);
  if (exitCode === 1) return [];
  if (exitCode !== 0) throw failed('ip link show', stderr);
  // An empty answer is no JSON.
  const text = stdout.toString('utf8').trim();
  return linksSchema.parse(JSON.parse(text === '' ? '[]' : text)).filter(({ ifname }) => ifname !== undefined);
}

async function lookAtBridge(session: KvmSession, bridge: string, target: NicTarget, options: Options): Promise<Seen> {
  const isName = /^[^\s/-][^\s/]{0,14}$/.test(bridge);
  const [found] = isName ? await links(session, ['dev', bridge], options) : [];
  if (found?.linkinfo?.info_kind !== 'bridge') {
    const message = `The destination has no bridge ${bridge}, and no network of that name that is started.`;
    return { finding: blocker('NETWORK_MISSING', message, 'Define an isolated one there, or name another one.') };
  }
  const ports = await links(session, ['master', bridge], options);
  const uplinks = ports.filter(({ linkinfo }) => !PLUGS.includes(linkinfo?.info_kind)).map(({ ifname }) => ifname);
  if (uplinks.length === 0) return { target };
  const message = `The bridge ${bridge} of the destination has an uplink (${uplinks.join(', ')}): whoever is behind it meets the copy.`;
  const finding = warning('DRILL_NETWORK_HAS_UPLINK', message, 'Make sure that nothing but copies is in that network.');
  return { target, finding };
}
