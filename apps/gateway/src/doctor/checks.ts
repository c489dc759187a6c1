/**
 * What a machine needs to run a gateway, looked at one by one: redirected mode needs almost nothing, transparent mode the kernel's packet rules.
 * Looking changes nothing: rules are tried with `nft --check`. Each check is a function of the machine as it is now and owns nothing.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { messageOf } from '../errors.ts';
import { findTool, runTool, type Tool } from '../platform/network-tools.ts';
import { nativeSockets } from '../platform/sockets.ts';
import { transparentSocketError } from '../platform/transparent-sockets.ts';
import { AddressSet, type Family } from '../proxy/transparent/address-set.ts';
import { barriers, renderBarrier } from '../proxy/transparent/barrier.ts';
import { deadOwners } from '../proxy/transparent/kernel-state.ts';
import { renderTable } from '../proxy/transparent/ruleset.ts';
import { aeadImplementation } from '../security/sealing.ts';

export interface Check {
  readonly name: string;
  /** `missing` keeps the mode from working; `warning` makes it worse, or may do so. */
  readonly verdict: 'ok' | 'warning' | 'missing';
  readonly found: string;
  /** What to do about it; empty when it is fine. */
  readonly mend: string;
}
export type Mode = 'redirected' | 'transparent';

const ok = (name: string, found: string): Check => ({ name, verdict: 'ok', found, mend: '' });
const warning = (name: string, found: string, mend: string): Check => ({ name, verdict: 'warning', found, mend });
const missing = (name: string, found: string, mend: string): Check => ({ name, verdict: 'missing', found, mend });

export function examine(mode: Mode): Check[] {
  const common = [nativeCalls(), encryption(), congestionControl(), netAdmin(mode)];
  if (mode === 'redirected') return common;
  return [
    ...common,
    ...(['nft', 'ip'] as const).map(tool),
    ...([4, 6] as const).flatMap((family) => [socket(family), kernelRules(family), forwarding(family)]),
    policyRouting(),
    markedReversePath(),
    reversePath(),
    redirects(),
    ...firewall(),
    leftovers(),
    standingBarriers(),
  ];
}

function nativeCalls(): Check {
  const name = 'native calls (koffi)';
  if (nativeSockets) return ok(name, 'available');
  return warning(
    name,
    'not available',
    'Use x86-64 Linux with glibc and unset LMAS_GATEWAY_NO_FFI; transparent mode needs it, redirected mode is slower without.',
  );
}

function encryption(): Check {
  return ok('encryption', aeadImplementation());
}

function congestionControl(): Check {
  const there = setting('net/ipv4/tcp_available_congestion_control') ?? 'unknown';
  if (there.split(' ').includes('bbr')) return ok('BBR congestion control', 'available');
  return warning(
    'BBR congestion control',
    `only ${there}`,
    'modprobe tcp_bbr; without it loss on the link costs far more.',
  );
}

const CAP_NET_ADMIN = 12n;
function netAdmin(mode: Mode): Check {
  const name = 'CAP_NET_ADMIN';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '0';
  if ((BigInt(`0x${effective}`) & (1n << CAP_NET_ADMIN)) !== 0n) return ok(name, 'held');
  const mend = 'Run it as root, or give it the capability (systemd: AmbientCapabilities=CAP_NET_ADMIN).';
  if (mode === 'transparent') return missing(name, 'not held', mend);
  return warning(name, 'not held: socket buffers stay as small as net.core.rmem_max and wmem_max', mend);
}

function tool(which: Tool): Check {
  const file = findTool(which);
  if (file !== null) return ok(which, file);
  return missing(which, 'not found', `Install ${which === 'nft' ? 'nftables' : 'iproute2'}.`);
}

const loopback = { 4: '127.0.0.1', 6: '::1' } as const;
const example = {
  4: { source: '192.0.2.1', destination: '192.0.2.2' },
  6: { source: '2001:db8::1', destination: '2001:db8::2' },
} as const;
/** A site may do without IPv6. */
const lacking = (family: Family) => (family === 4 ? missing : warning);

function socket(family: Family): Check {
  const name = `IPv${family} transparent sockets`;
  const error = transparentSocketError(loopback[family]);
  if (error === null) return ok(name, 'available');
  return lacking(family)(name, messageOf(error), 'CAP_NET_ADMIN, and a kernel with this family enabled.');
}

/** The very rules of a route, of both ends, given to the kernel to be checked and thrown away. */
function kernelRules(family: Family): Check {
  const name = `IPv${family} TPROXY in nftables`;
  const set = AddressSet.of({ pairs: [example[family]], ports: [8_000] });
  const routes = (['intercept', 'dial'] as const).map((end) => ({ id: end, end, set, listenerPorts: { 4: 1, 6: 1 } }));
  try {
    runTool('nft', ['--check', '-f', '-'], renderTable('lmas_doctor', 1, routes, true));
    runTool('nft', ['--check', '-f', '-'], renderBarrier('doctor', 'doctor', set));
    return ok(name, 'the kernel takes the rules');
  } catch (error) {
    const modules = 'nft_tproxy, nft_socket, nft_fib_inet and nft_reject_inet';
    return lacking(family)(
      name,
      messageOf(error),
      `nftables 0.9.4 or later and a kernel 5.6 or later with ${modules} (modprobe them).`,
    );
  }
}

function forwarding(family: Family): Check {
  const key = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
  const dotted = key.replaceAll('/', '.');
  if (setting(key) === '1') return ok(dotted, '1');
  return lacking(family)(
    dotted,
    setting(key) ?? 'absent',
    `sysctl -w ${dotted}=1; what is not intercepted could not be forwarded.`,
  );
}

function policyRouting(): Check {
  try {
    runTool('ip', ['rule', 'list']);
    return ok('policy routing', 'available');
  } catch (error) {
    return missing('policy routing', messageOf(error), 'A kernel with CONFIG_IP_MULTIPLE_TABLES.');
  }
}

function markedReversePath(): Check {
  const name = 'net.ipv4.conf.*.src_valid_mark';
  const on = interfacesWith('src_valid_mark', (value) => value !== '0');
  if (on.length === 0) return ok(name, '0');
  return missing(
    name,
    `set for ${on.join(', ')}`,
    `sysctl -w ${on.map((one) => `net.ipv4.conf.${one}.src_valid_mark=0`).join(' ')}; intercepted packets would count as spoofed.`,
  );
}

function reversePath(): Check {
  const name = 'net.ipv4.conf.*.rp_filter';
  const strict = interfacesWith('rp_filter', (value) => value === '1');
  if (strict.length === 0) return ok(name, 'not strict');
  return warning(
    name,
    `strict for ${strict.join(', ')}`,
    'Fine while each host is reached through the interface that its packets come from; else set 2 (loose), for `all` as well.',
  );
}

function redirects(): Check {
  const name = 'net.ipv4.conf.*.send_redirects';
  const on = interfacesWith('send_redirects', (value) => value === '1');
  if (on.length === 0) return ok(name, '0');
  return warning(
    name,
    `on for ${on.join(', ')}`,
    'Set 0 for `all` and each of them, or hosts that share a network with their router learn a way round the gateway before it intercepts.',
  );
}

interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

function firewall(): Check[] {
  let chains: Chain[];
  try {
    const { nftables } = JSON.parse(runTool('nft', ['-j', 'list', 'chains'])) as { nftables: { chain?: Chain }[] };
    chains = nftables.flatMap(({ chain }) => (chain === undefined ? [] : [chain]));
  } catch (error) {
    return [warning('firewall', messageOf(error), 'Could not be looked at.')];
  }
  const dropping = (hook: string) => chains.filter((chain) => chain.hook === hook && chain.policy === 'drop');
  const names = (list: Chain[]) => list.map(({ family, table, name }) => `${family} ${table} ${name}`).join(', ');
  const look = (hook: string, why: string): Check => {
    const found = dropping(hook);
    if (found.length === 0) return ok(`firewall, ${hook}`, 'drops nothing by policy');
    return warning(`firewall, ${hook}`, `policy drop in ${names(found)}`, why);
  };
  return [
    look('forward', 'Accept the traffic between the hosts there: what is not intercepted is forwarded through it.'),
    look(
      'input',
      'Accept the intercepted ports from the source hosts there, and the answers of the destination hosts.',
    ),
  ];
}

function leftovers(): Check {
  try {
    const dead = deadOwners();
    if (dead.length === 0) return ok('leftovers of killed gateways', 'none');
    return warning(
      'leftovers of killed gateways',
      `of pid ${dead.map(({ pid }) => pid).join(', ')}; they forward everything`,
      'lmas-gateway clean',
    );
  } catch (error) {
    return warning('leftovers of killed gateways', messageOf(error), 'Could not be looked at.');
  }
}

/** One that is forgotten refuses what nobody thinks of any more. */
function standingBarriers(): Check {
  const name = 'barriers';
  try {
    const standing = barriers();
    if (standing.length === 0) return ok(name, 'none');
    const told = standing.map((one) => `${one.name} (${one.route}, ${one.refusedPackets} packets refused)`);
    return warning(
      name,
      told.join(', '),
      'Right while a migration needs it. Else, once nothing moves between its hosts in the clear: lmas-gateway clean --barrier NAME',
    );
  } catch (error) {
    return warning(name, messageOf(error), 'Could not be looked at.');
  }
}

function setting(key: string): string | null {
  try {
    return readFileSync(`/proc/sys/${key}`, 'latin1').trim();
  } catch {
    return null; // Not in this kernel.
  }
}

function interfacesWith(key: string, matches: (value: string) => boolean): string[] {
  return readdirSync('/proc/sys/net/ipv4/conf').filter((name) => {
    const value = setting(`net/ipv4/conf/${name}/${key}`);
    return !['lo', 'default'].includes(name) && value !== null && matches(value);
  });
}
