/**
 * How busy a libvirt host and its guests are: counters read twice, some time apart. Nothing is switched on for it, so it
 * has no side effect; the dirty rate, which libvirt measures only when told to, therefore stays unknown.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load, VmLoad } from '@lmas/plugin-api';
import { type LibvirtClient, uuidText } from './client.ts';
import { isFault } from './errors.ts';
import { DOMAIN_STATS, STATS_OF } from './rpc/constants.ts';
import { numberOf, type TypedParam } from './rpc/typed-params.ts';

interface Sample {
  readonly atMs: number;
  /** Since the host was started, all its processors together; null: it does not count. */
  readonly hostCpuNs: number | null;
  readonly guests: ReadonlyMap<string, readonly TypedParam[]>;
}

const ALL_CPUS = -1;
const NS_PER_MS = 1e6;

export async function measureLoad(
  client: LibvirtClient,
  { intervalMs, signal }: { intervalMs: number; signal: AbortSignal },
): Promise<Load> {
  const before = await takeSample(client, { signal });
  await sleep(intervalMs, undefined, { signal });
  const after = await takeSample(client, { signal });
  const passedMs = after.atMs - before.atMs;
  const cores = (earlier: number | null | undefined, later: number | null | undefined): number | null =>
    known(earlier) && known(later) ? Math.max(0, later - earlier) / NS_PER_MS / passedMs : null;
  const vms = [...after.guests].map(([id, now]): VmLoad => {
    const then = before.guests.get(id) ?? [];
    const [sentThen, sentNow] = [traffic(then), traffic(now)];
    const balloonKib = numberOf(now, 'balloon.current');
    return {
      id,
      cpuCores: cores(numberOf(then, 'cpu.time'), numberOf(now, 'cpu.time')),
      memoryBytes: balloonKib === undefined ? null : balloonKib * 1024,
      networkBytesPerSec:
        sentThen === null || sentNow === null ? null : Math.max(0, ((sentNow - sentThen) / passedMs) * 1_000),
      dirtyRateBytesPerSec: null,
    };
  });
  return { intervalMs: Math.round(passedMs), host: { cpuCores: cores(before.hostCpuNs, after.hostCpuNs) }, vms };
}

const known = (value: number | null | undefined): value is number => value !== null && value !== undefined;

async function takeSample(client: LibvirtClient, options: { signal: AbortSignal }): Promise<Sample> {
  const stats = DOMAIN_STATS.cpuTotal | DOMAIN_STATS.balloon | DOMAIN_STATS.interface;
  const flags = STATS_OF.running | STATS_OF.noWait;
  const [hostCpuNs, { records }] = await Promise.all([
    hostCpu(client, options),
    client.call('connectGetAllDomainStats', { domains: [], stats, flags }, options),
  ]);
  const guests = new Map(records.map(({ domain, params }) => [uuidText(domain.uuid), params] as const));
  return { atMs: performance.now(), hostCpuNs, guests };
}

/** Everything but idling and waiting for disks. */
async function hostCpu(client: LibvirtClient, options: { signal: AbortSignal }): Promise<number | null> {
  const ask = (nparams: number) => client.call('nodeGetCpuStats', { cpu: ALL_CPUS, nparams, flags: 0 }, options);
  try {
    const { nparams } = await ask(0);
    const { stats } = await ask(nparams);
    const busy = stats.filter(({ field }) => field !== 'idle' && field !== 'iowait');
    return busy.length === 0 ? null : busy.reduce((sum, { value }) => sum + Number(value), 0);
  } catch (error) {
    if (isFault(error)) return null;
    throw error;
  }
}

/** Bytes in both directions since the interfaces are there; null: nobody counts them. */
function traffic(params: readonly TypedParam[]): number | null {
  const interfaces = numberOf(params, 'net.count');
  if (interfaces === undefined) return null;
  const counters = Array.from({ length: interfaces }, (_, index) => [
    numberOf(params, `net.${index}.rx.bytes`),
    numberOf(params, `net.${index}.tx.bytes`),
  ]).flat();
  if (interfaces > 0 && counters.every((counter) => counter === undefined)) return null;
  return counters.reduce<number>((sum, counter) => sum + (counter ?? 0), 0);
}
