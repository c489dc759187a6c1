/**
 * How busy a libvirt host and its guests are: counters read twice, some time apart. The dirty rate libvirt measures only when
 * told to: cheap, and unnoticed by the guest (dirty-rate.ts), but done at the host for each guest, so only when it is asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load, VmLoad } from '@lmas/plugin-api';
import { type LibvirtClient, uuidText } from './client.ts';
import { beginDirtyRate, dirtyRateIn, whyNoDirtyRates } from './dirty-rate.ts';
import { isFault } from './errors.ts';
import { DOMAIN_STATS, STATS_OF } from './rpc/constants.ts';
import type { Domain } from './rpc/procedures.ts';
import { numberOf, type TypedParam } from './rpc/typed-params.ts';

interface Sample {
  readonly atMs: number;
  /** Since the host was started, all its processors together; null: it does not count. */
  readonly hostCpuNs: number | null;
  readonly guests: ReadonlyMap<string, { readonly domain: Domain; readonly params: readonly TypedParam[] }>;
}

interface Options {
  readonly signal: AbortSignal;
}

const ALL_CPUS = -1;
const NS_PER_MS = 1e6;

export async function measureLoad(
  client: LibvirtClient,
  { intervalMs, dirtyRates = false, signal }: Options & { intervalMs: number; dirtyRates?: boolean },
): Promise<Load> {
  const before = await takeSample(client, { signal });
  const [measured] = await Promise.all([
    dirtyRates ? beginDirtyRates(client, before, intervalMs, { signal }) : [],
    sleep(intervalMs, undefined, { signal }),
  ]);
  // One after the other: neither waits for a guest that is just being asked something, and each would be without what the other one asks.
  const after = await takeSample(client, { signal });
  const dirtyRateOf = await readDirtyRates(client, measured, { signal });
  const passedMs = after.atMs - before.atMs;
  const cores = (earlier: number | null | undefined, later: number | null | undefined): number | null =>
    known(earlier) && known(later) ? Math.max(0, later - earlier) / NS_PER_MS / passedMs : null;
  const vms = [...after.guests].map(([id, { params: now }]): VmLoad => {
    const then = before.guests.get(id)?.params ?? [];
    const [sentThen, sentNow] = [traffic(then), traffic(now)];
    const balloonKib = numberOf(now, 'balloon.current');
    return {
      id,
      cpuCores: cores(numberOf(then, 'cpu.time'), numberOf(now, 'cpu.time')),
      memoryBytes: balloonKib === undefined ? null : balloonKib * 1024,
      networkBytesPerSec:
        sentThen === null || sentNow === null ? null : Math.max(0, ((sentNow - sentThen) / passedMs) * 1_000),
      dirtyRateBytesPerSec: dirtyRateOf.get(id) ?? null,
    };
  });
  return { intervalMs: Math.round(passedMs), host: { cpuCores: cores(before.hostCpuNs, after.hostCpuNs) }, vms };
}

/** So many at once leave room at the daemon, which takes five calls of one connection. */
const BEGINNING_AT_ONCE = 3;
/** Of the interval: so that even the measurement that begins last is over when it ends. */
const BEGIN_WITHIN_MS = 1_000;
/** What libvirt takes. */
const LONGEST_PERIOD_S = 60;

/** @returns those that are being measured; none when the interval is too short for it */
async function beginDirtyRates(
  client: LibvirtClient,
  { guests }: Sample,
  intervalMs: number,
  { signal }: Options,
): Promise<readonly Domain[]> {
  const begun: Domain[] = [];
  const seconds = Math.min(LONGEST_PERIOD_S, Math.floor((intervalMs - BEGIN_WITHIN_MS) / 1_000));
  if (seconds < 1) return begun;
  const late = AbortSignal.timeout(BEGIN_WITHIN_MS);
  const options = { signal: AbortSignal.any([signal, late]) };
  const waiting = [...guests.values()].map(({ domain }) => domain);
  const beginSome = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !late.aborted; next = waiting.shift()) {
      if ((await beginDirtyRate(client, next, seconds, options)) === null) begun.push(next);
    }
  };
  try {
    if ((await whyNoDirtyRates(client, options)) !== null) return begun;
    await Promise.all(Array.from({ length: BEGINNING_AT_ONCE }, beginSome));
  } catch (error) {
    if (!late.aborted || signal.aborted || client.closed.aborted) throw error;
  }
  return begun;
}

/**
 * Of those whose measurement was begun here: what somebody else measured before is not how it is now, and a guest whose QEMU cannot
 * tell (before 5.2) may fail the answer for all. By the guest's id.
 */
async function readDirtyRates(
  client: LibvirtClient,
  domains: readonly Domain[],
  options: Options,
): Promise<ReadonlyMap<string, number | null>> {
  if (domains.length === 0) return new Map();
  const wanted = { domains: [...domains], stats: DOMAIN_STATS.dirtyRate, flags: STATS_OF.noWait };
  const { records } = await client.call('connectGetAllDomainStats', wanted, options);
  return new Map(records.map(({ domain, params }) => [uuidText(domain.uuid), dirtyRateIn(params)] as const));
}

const known = (value: number | null | undefined): value is number => value !== null && value !== undefined;

async function takeSample(client: LibvirtClient, options: Options): Promise<Sample> {
  const stats = DOMAIN_STATS.cpuTotal | DOMAIN_STATS.balloon | DOMAIN_STATS.interface;
  const flags = STATS_OF.running | STATS_OF.noWait;
  const [hostCpuNs, { records }] = await Promise.all([
    hostCpu(client, options),
    client.call('connectGetAllDomainStats', { domains: [], stats, flags }, options),
  ]);
  const guests = new Map(records.map((record) => [uuidText(record.domain.uuid), record] as const));
  return { atMs: performance.now(), hostCpuNs, guests };
}

/** Everything but idling and waiting for disks. */
async function hostCpu(client: LibvirtClient, options: Options): Promise<number | null> {
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
