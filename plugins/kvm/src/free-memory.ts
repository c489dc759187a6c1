/**
 * How much memory a host can give to guests without swapping. libvirt counts what is altogether unused only, and on a host that
 * has read files for a while that is next to nothing, since the page cache takes what nobody else wants. What the kernel itself takes for
 * available (MemAvailable, proc(5)) counts what it would let go of.
 */
import type { KvmSession } from './session.ts';

/** libvirt's count where the host does not say, or not to this login. @throws PluginError, libvirt's faults */
export async function freeMemoryBytes(
  session: Pick<KvmSession, 'transport' | 'query'>,
  options: { readonly signal: AbortSignal },
): Promise<number> {
  const available = await session.transport
    .exec(['cat', '/proc/meminfo'], options)
    .then(({ exitCode, stdout }) => (exitCode === 0 ? availableIn(stdout.toString('latin1')) : undefined))
    .catch(() => undefined);
  if (available !== undefined) return available;
  const client = await session.query(options);
  return Number((await client.call('nodeGetFreeMemory', undefined, options)).bytes);
}

function availableIn(meminfo: string): number | undefined {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1];
  return kib === undefined ? undefined : Number(kib) * 1024;
}
