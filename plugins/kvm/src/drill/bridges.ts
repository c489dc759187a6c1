/**
 * Who is plugged into a bridge of the destination, and whether the host itself is. The kernel is asked, by `ip`, which needs no
 * rights: libvirt's networks do not say what somebody plugged in by hand, its interfaces are in a driver that many hosts lack (and
 * with netcf only what is configured), and its node devices know no bridges. libvirt is asked whose a tap is. No side effects.
 */
import { z } from 'zod';
import { attribute, childElements, descend, parseXml } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import { ERROR } from '../rpc/constants.ts';
import type { KvmSession } from '../session.ts';
import { readMark } from './definition.ts';
import { failed } from './key.ts';

interface Options {
  readonly signal: AbortSignal;
}

export interface Bridge {
  /** Of the host, beyond the link: by them it takes part, and may route. */
  readonly addresses: readonly string[];
  /** Ports behind which there is anything but a VM, and what stands on the bridge: `eth0 (a network card)`. */
  readonly waysOut: readonly string[];
  /** Ports into a VLAN or a tunnel, which may be one for drills: only a person can tell. */
  readonly overlays: readonly string[];
  /** Names of the VMs in it that are no copies of drills. */
  readonly vms: readonly string[];
}

/** Of `ip -json -details address show`. An interface without a kind is a card. */
const interfacesSchema = z.array(
  z.object({
    ifname: z.string().optional(),
    master: z.string().optional(),
    link: z.string().optional(),
    linkinfo: z.object({ info_kind: z.string().optional() }).optional(),
    addr_info: z.array(z.object({ local: z.string().optional(), scope: z.string().optional() })).optional(),
  }),
);

interface Interface {
  readonly name: string;
  /** As the kernel calls it; `undefined` for a card. */
  readonly kind: string | undefined;
  /** The bridge that it is a port of. */
  readonly master: string | undefined;
  /** What it stands on, as a VLAN does. */
  readonly link: string | undefined;
  readonly addresses: readonly string[];
}

/** One takes some 1.5 kB. */
const maxOutputBytes = 16 * 2 ** 20;

/**
 * All of the host, in one answer. `ip` asked for one bridge ends with the same code when there is none and when the kernel did not
 * answer, and a bridge that goes between two questions would look empty: empty is what lets a copy come up in it.
 */
async function interfaces(session: KvmSession, options: Options): Promise<readonly Interface[]> {
  const command = ['ip', '-json', '-details', 'address', 'show'];
  const { exitCode, stdout, stderr } = await session.transport.exec(command, { ...options, maxOutputBytes });
  if (exitCode !== 0) throw failed('ip address show', stderr);
  return interfacesSchema.parse(JSON.parse(stdout.toString('utf8'))).flatMap((found) => {
    const { ifname: name, master, link, linkinfo, addr_info = [] } = found;
    if (name === undefined) return [];
    return [{ name, kind: linkinfo?.info_kind, master, link, addresses: addr_info.flatMap(routable) }];
  });
}

/** Every interface that is up has an address of its link alone. */
const routable = ({ local, scope }: { local?: string | undefined; scope?: string | undefined }): string[] =>
  local === undefined || scope === 'link' ? [] : [local];

const OVERLAYS: readonly (string | undefined)[] = ['vlan', 'vxlan', 'geneve', 'gretap', 'ip6gretap', 'l2tpeth'];

/** Nothing is behind it. Earlier versions of libvirt keep `virbr0-nic` in a bridge of theirs, for its address. */
const isPlaceholder = ({ name, kind }: Interface, bridge: string): boolean =>
  kind === 'dummy' || (kind === 'tun' && name === `${bridge}-nic`);

/** `null` when there is no bridge of that name. @throws PluginError when nobody can tell */
export async function readBridge(session: KvmSession, name: string, options: Options): Promise<Bridge | null> {
  const all = await interfaces(session, options);
  const found = all.find((each) => each.name === name && each.kind === 'bridge');
  if (found === undefined) return null;
  const ports = all.filter((each) => each.master === name && !isPlaceholder(each, name));
  const onTop = all.filter(({ link }) => link === name);
  const taps = ports.filter(({ kind }) => kind === 'tun');
  const owners = taps.length === 0 ? new Map<string, TapOwner>() : await tapOwners(session, options);
  const orphans = await stillThere(
    session,
    name,
    taps.filter((tap) => !owners.has(tap.name)),
    options,
  );
  const others = ports.filter(({ kind }) => kind !== 'tun' && !OVERLAYS.includes(kind));
  const vms = taps.flatMap((tap) => owners.get(tap.name) ?? []).filter(({ isCopy }) => !isCopy);
  return {
    addresses: found.addresses,
    waysOut: [
      ...others.map(inWords),
      ...onTop.map((each) => `${each.name} (${each.kind}, on top of it)`),
      ...orphans.map((tap) => `${tap.name} (a tap of no VM that libvirt runs)`),
    ],
    overlays: ports.filter(({ kind }) => OVERLAYS.includes(kind)).map(inWords),
    vms: [...new Set(vms.map((vm) => vm.name))],
  };
}

const inWords = ({ name, kind }: Interface): string => `${name} (${kind ?? 'a network card'})`;

interface TapOwner {
  readonly name: string;
  readonly isCopy: boolean;
}

/** VIR_CONNECT_LIST_DOMAINS_ACTIVE */
const ACTIVE = 1;

async function tapOwners(session: KvmSession, options: Options): Promise<ReadonlyMap<string, TapOwner>> {
  const client = await session.query(options);
  const { domains } = await client.call('connectListAllDomains', { needResults: 1, flags: ACTIVE }, options);
  const owners = new Map<string, TapOwner>();
  for (const domain of domains) {
    try {
      const xml = await client.xml(domain, 0, options);
      const owner = { name: domain.name, isCopy: readMark(xml) !== undefined };
      for (const tap of tapsOf(xml)) owners.set(tap, owner);
    } catch (error) {
      if (!isFault(error, ERROR.NO_DOMAIN)) throw error; // gone since it was listed
    }
  }
  return owners;
}

function tapsOf(xml: string): string[] {
  const devices = descend(parseXml(xml, 'domain').root, 'devices');
  const nics = devices === undefined ? [] : childElements(devices, 'interface');
  return nics.flatMap((nic) => attribute(descend(nic, 'target'), 'dev') ?? []);
}

/** A VM that ended between the two questions has left a tap with nobody: it is gone by now. */
async function stillThere(
  session: KvmSession,
  bridge: string,
  taps: readonly Interface[],
  options: Options,
): Promise<readonly Interface[]> {
  if (taps.length === 0) return [];
  const now = await interfaces(session, options);
  return taps.filter(({ name }) => now.some((port) => port.name === name && port.master === bridge));
}
