/**
 * How fast guests write to their memory, as QEMU samples it (QEMU 5.2, libvirt 7.2): the hashes of 512 pages of each GiB, and the
 * same again when the period is over. That reads some 4 MiB of each GiB, in a thread of its own; no dirty log is switched on, so
 * the guest does not notice, and nothing stays but the result, which the next measurement replaces.
 *
 * How exact it is follows from that (QEMU's migration/dirtyrate.c). A page that was sampled stands for 2 MiB, so over one second
 * there is nothing between 0 and 2 MiB/s, and n changed pages are n ± √n of them; whole MiB/s are told, rounded down. A page
 * counts once however often it is written, as it does for a migration.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type LibvirtClient, uuidText, VERSION_7_2 } from './client.ts';
import { isFault, toPluginError } from './errors.ts';
import { DIRTY_RATE, DOMAIN_STATS, JOB, STATS_OF } from './rpc/constants.ts';
import type { Domain } from './rpc/procedures.ts';
import { numberOf, type TypedParam } from './rpc/typed-params.ts';

interface Options {
  readonly signal: AbortSignal;
}

export type DirtyRate =
  | { readonly bytesPerSec: number /** Standard error. */; readonly errorBytesPerSec: number }
  /** Why, as a sentence. */
  | { readonly unknown: string };

const MIB = 1024 ** 2;
/** 1 GiB ÷ 512, QEMU's own default, which libvirt leaves. */
const BYTES_PER_SAMPLE = 2 * MIB;
/** The shortest that QEMU takes. */
const PERIOD_S = 1;
const LOOK_MS = 100;
/** For the whole of it. libvirt lets a start wait 30 s for whoever else has to do with the VM. */
const PATIENCE_MS = 5_000;

/** Measures one that runs, for a second. A refusal is an answer. @throws what the connection suffers, `signal` */
export async function measureDirtyRate(client: LibvirtClient, domain: Domain, { signal }: Options): Promise<DirtyRate> {
  const limited = { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) };
  try {
    const refusal =
      (await whyNoDirtyRates(client, limited)) ?? (await beginDirtyRate(client, domain, PERIOD_S, limited));
    if (refusal !== null) return { unknown: refusal };
    for (;;) {
      await sleep(LOOK_MS, undefined, limited);
      const params = await readOne(client, domain, limited);
      if (params === undefined) return { unknown: 'it does not run any more.' };
      const bytesPerSec = dirtyRateIn(params);
      if (bytesPerSec !== null) return { bytesPerSec, errorBytesPerSec: errorOf(bytesPerSec, PERIOD_S) };
    }
  } catch (error) {
    if (signal.aborted || client.closed.aborted) throw error;
    return { unknown: toPluginError(error).message };
  }
}

/** @returns why none can be had of any guest there; null: they can */
export async function whyNoDirtyRates(client: LibvirtClient, options: Options): Promise<string | null> {
  return (await client.libvirtVersion(options)) < VERSION_7_2 ? 'libvirt 7.2 or later is needed.' : null;
}

/** @returns why it does not begin; null: it has. @throws what the connection suffers, `signal` */
export async function beginDirtyRate(
  client: LibvirtClient,
  domain: Domain,
  seconds: number,
  options: Options,
): Promise<string | null> {
  try {
    // It would wait for the end of a migration or a backup.
    if ((await client.jobStats(domain, 0, options)).type !== JOB.none) return 'another job of the VM is under way.';
    await client.call('domainStartDirtyRateCalc', { domain, seconds, flags: 0 }, options);
    return null;
  } catch (error) {
    if (isFault(error)) return error.message;
    throw error;
  }
}

/** Among the statistics of a guest (`DOMAIN_STATS.dirtyRate`); null: nobody has measured it, or not yet. */
export function dirtyRateIn(params: readonly TypedParam[]): number | null {
  if (numberOf(params, 'dirtyrate.calc_status') !== DIRTY_RATE.measured) return null;
  const mibPerSec = numberOf(params, 'dirtyrate.megabytes_per_second');
  return mibPerSec === undefined || mibPerSec < 0 ? null : mibPerSec * MIB;
}

async function readOne(client: LibvirtClient, domain: Domain, options: Options) {
  const wanted = { domains: [domain], stats: DOMAIN_STATS.dirtyRate, flags: STATS_OF.noWait };
  const { records } = await client.call('connectGetAllDomainStats', wanted, options);
  return records.find((record) => uuidText(record.domain.uuid) === uuidText(domain.uuid))?.params;
}

/** Even of none that have changed there might have been one. */
function errorOf(bytesPerSec: number, seconds: number): number {
  const changed = Math.max(1, (bytesPerSec * seconds) / BYTES_PER_SAMPLE);
  return (Math.sqrt(changed) * BYTES_PER_SAMPLE) / seconds;
}
