/**
 * Reads job statistics and turns them into the contract's progress. `watchJob` polls on the session's question
 * connection, because the connection that performs is busy until the end.
 */
import type { MigrationProgress } from '@lmas/plugin-api';
import type { DomainState, JobStats } from '../client.ts';
import { JOB, PAUSED, STATE } from '../rpc/constants.ts';
import type { Domain } from '../rpc/procedures.ts';
import { numberOf } from '../rpc/typed-params.ts';
import type { KvmSession } from '../session.ts';
import { postCopyIn } from './sighting.ts';
import { readXbzrle, sentShare, type XbzrleStats } from './xbzrle.ts';

const POLL_INTERVAL_MS = 500;

/**
 * @param standstill why the guest does not run at the source any more; `null` while it does
 * @param memoryBytes of the guest: libvirt counts memory only from the moment at which the disks are through
 * @param previousPercent a guest that writes makes the remaining bytes grow; the percentage never falls
 */
export function readProgress(
  { params }: JobStats,
  standstill: 'switchover' | 'post-copy' | null,
  memoryBytes: number,
  previousPercent: number,
): MigrationProgress | undefined {
  const counted = numberOf(params, 'data_total');
  if (counted === undefined || counted === 0) return undefined;
  const waiting = (numberOf(params, 'memory_total') ?? 0) === 0 ? memoryBytes : 0;
  const total = counted + waiting;
  const remaining = (numberOf(params, 'data_remaining') ?? 0) + waiting;
  const percent = Math.min(100, Math.max(previousPercent, 100 * (1 - remaining / total)));
  const iteration = numberOf(params, 'memory_iteration');
  const memoryMoves = (numberOf(params, 'memory_processed') ?? 0) > 0;
  const diskBytes = numberOf(params, 'disk_total') ?? 0;
  const dirtyPages = numberOf(params, 'memory_dirty_rate');
  return {
    stage: standstill ?? (memoryMoves || diskBytes === 0 ? 'memory' : 'disks'),
    percent,
    bytesTotal: total,
    bytesTransferred: numberOf(params, 'data_processed') ?? 0,
    bytesRemaining: remaining,
    rateBytesPerSec: numberOf(params, memoryMoves ? 'memory_bps' : 'disk_bps') ?? null,
    // QEMU measures it from one pass to the next (migration/ram.c), and says 0 in the first.
    dirtyRateBytesPerSec: dirtyPages === undefined || (iteration ?? 0) <= 1 ? null : dirtyPages * pageBytesOf(params),
    iteration: iteration ?? null,
  };
}

const pageBytesOf = (params: JobStats['params']): number => numberOf(params, 'memory_page_size') ?? 4096;

function standstillOf(seen: DomainState): 'switchover' | 'post-copy' | null {
  if (seen.state !== STATE.paused) return null;
  if (postCopyIn(seen) !== undefined) return 'post-copy';
  return seen.reason === PAUSED.migration ? 'switchover' : null;
}

/** Resolves after `ms`, or as soon as `signal` aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', done);
    resolve();
  };
  const timer = setTimeout(done, ms);
  signal.addEventListener('abort', done, { once: true });
  if (signal.aborted) done();
  return promise;
}

/**
 * Reports the job of `domain` until `signal` aborts, or, with `untilIdle`, until there is none any more. A poll that
 * fails is skipped: progress decides nothing.
 */
export async function watchJob(
  session: KvmSession,
  domain: Domain,
  memoryBytes: number,
  onProgress: (progress: MigrationProgress) => void,
  {
    signal,
    untilIdle = false,
    hints = {},
  }: { signal: AbortSignal; untilIdle?: boolean; hints?: Pick<MigrationProgress, 'differencesOption'> },
): Promise<void> {
  let percent = 0;
  let xbzrle: XbzrleStats | undefined;
  let sentShareOfPages: number | undefined;
  while (!signal.aborted) {
    try {
      const client = await session.query({ signal });
      const job = await client.jobStats(domain, 0, { signal });
      const idle = job.type !== JOB.bounded && job.type !== JOB.unbounded;
      if (idle && untilIdle) return;
      if (!idle) {
        const state = await client.state(domain, { signal });
        const progress = readProgress(job, standstillOf(state), memoryBytes, percent);
        const before = xbzrle;
        xbzrle = readXbzrle(job.params);
        sentShareOfPages = sentShare(xbzrle, before, pageBytesOf(job.params)) ?? sentShareOfPages;
        if (progress !== undefined && !signal.aborted) {
          percent = progress.percent;
          onProgress({ ...progress, ...hints, ...(sentShareOfPages !== undefined && { sentShareOfPages }) });
        }
      }
    } catch (error) {
      if (untilIdle) throw error;
    }
    await pause(POLL_INTERVAL_MS, signal);
  }
}
