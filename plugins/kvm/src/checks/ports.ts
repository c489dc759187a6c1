/** Whether the destination has ports left at which it can receive memory and disks. */
import { type Finding, PluginError } from '@lmas/plugin-api';
import { freePorts } from '../migration/ports.ts';
import type { KvmSession } from '../session.ts';
import type { HostTransport } from '../transport.ts';
import { blocker, type CheckContext } from './types.ts';

export function checkPorts({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  return checkFreePorts(ends.destination, plan.copied.length > 0 ? 2 : 1, { signal });
}

export async function checkFreePorts(
  destination: KvmSession,
  needed: number,
  { signal }: { signal: AbortSignal },
): Promise<Finding[]> {
  const free = freePorts(destination, await listeningPorts(destination.transport, { signal }));
  if (free >= needed) return [];
  const { from, to } = destination.config.portRange;
  return [
    blocker(
      'PORTS_SHORT',
      `The destination needs ${needed} ports of ${from}-${to} for this migration, ${free} are free.`,
      'Wait for other migrations to this host to end, set a wider portRange, or stop what listens there (ss -Htlnp).',
    ),
  ];
}

/** A kernel without IPv6 has no tcp6. */
const TABLES = 'cat /proc/net/tcp && { [ ! -e /proc/net/tcp6 ] || cat /proc/net/tcp6; }';

/** `sl: address:port address:port state`, numbers in hexadecimal; 0A is TCP_LISTEN (proc_net_tcp in the kernel's docs). */
const LISTENING = /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:[0-9A-F]{4} 0A /gm;

/** At any address of the host. @throws PluginError when nobody can tell */
async function listeningPorts(host: HostTransport, { signal }: { signal: AbortSignal }): Promise<Set<number>> {
  const { exitCode, stdout, stderr } = await host.exec(['sh', '-c', TABLES], { signal });
  if (exitCode !== 0) {
    throw new PluginError('HYPERVISOR_FAULT', `reading /proc/net/tcp: ${stderr.toString('utf8').trim().slice(0, 500)}`);
  }
  return new Set([...stdout.toString('utf8').matchAll(LISTENING)].map(([, port = '']) => Number.parseInt(port, 16)));
}
