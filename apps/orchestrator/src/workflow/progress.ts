/**
 * Brings what the plugin and the gateways report into the record, at a pace that Redis and the readers can bear. Owns its
 * loop. Disposing of it waits for nothing: the guest may stand still at that moment.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { MigrationProgress } from '@lmas/plugin-api';
import type { Tunnel, TunnelStats } from '../gateways/tunnel.ts';
import { type Changes, policyOf } from '../migrations/changes.ts';
import { now } from '../migrations/record.ts';
import { predictOutlook } from './outlook.ts';
import type { Run } from './run.ts';
import { noteMoving } from './silence.ts';

/** A move that is under way sends more than this between two looks that are `noProgressMs` apart; connections that are only kept alive do not. */
const ADVANCE_BYTES = 1 << 20;

export interface ReporterFacts {
  /** What was asked for since the request, where that is heeded. */
  readonly changes?: Pick<Changes, 'get'>;
  /** As measured before it began: until the hypervisor measures it anew. */
  readonly dirtyRateBytesPerSec?: number | null;
}

export class ProgressReporter implements Disposable {
  readonly #run: Run;
  readonly #tunnel: Tunnel | undefined;
  readonly #facts: ReporterFacts;
  readonly #onAdvance: () => void;
  readonly #closing = new AbortController();
  #progress: MigrationProgress | undefined;
  #advanced = '';
  #deliveredBytes: number | undefined;
  /** When something last moved before our eyes. What the first look finds may have moved long before. */
  #movedAt: string | undefined;
  #written = '';

  /**
   * `onAdvance` is called whenever something has really moved, by what the hypervisor says or by what the tunnel delivered: a percent of a large
   * disk takes long.
   */
  constructor(
    run: Run,
    tunnel: Tunnel | undefined,
    intervalMs: number,
    onAdvance: () => void,
    facts: ReporterFacts = {},
  ) {
    this.#run = run;
    this.#tunnel = tunnel;
    this.#facts = facts;
    this.#onAdvance = onAdvance;
    void this.#report(intervalMs);
  }

  report(progress: MigrationProgress): void {
    this.#progress = progress;
    const { stage, percent, bytesTransferred, bytesRemaining, iteration } = progress;
    const position = JSON.stringify([stage, percent, bytesTransferred, bytesRemaining, iteration]);
    if (position === this.#advanced) return;
    if (this.#advanced !== '') this.#movedAt = now();
    this.#advanced = position;
    this.#onAdvance();
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #report(intervalMs: number): Promise<void> {
    const { signal } = this.#closing;
    // Hundreds that began together must not all report in the same instant for ever after.
    let pauseMs = intervalMs * (0.5 + Math.random() / 2);
    while (!signal.aborted && !this.#run.lost.aborted) {
      await sleep(pauseMs, undefined, { signal }).catch(() => undefined); // closing ends the loop
      pauseMs = intervalMs;
      if (!signal.aborted) await this.#write().catch((error: unknown) => this.#complain(error));
    }
  }

  /** Nobody waits for a report: its failure is told here or nowhere. */
  #complain(error: unknown): void {
    if (this.#closing.signal.aborted || this.#run.lost.aborted) return;
    this.#run.log.warn({ err: error }, 'progress could not be looked at; it is looked at again');
  }

  async #write(): Promise<void> {
    const tunnel = await this.#stats();
    if (tunnel !== null) this.#heed(tunnel.bytesDelivered);
    const progress = this.#progress === undefined ? null : await this.#extended(this.#progress, tunnel);
    const state = JSON.stringify([progress, tunnel]);
    if (this.#closing.signal.aborted) return;
    if (state === this.#written || (progress === null && tunnel === null)) return;
    this.#written = state;
    const at = now();
    const movedAt = this.#movedAt;
    this.#run.report(
      (draft) => {
        const { migration } = draft;
        if (movedAt !== undefined) noteMoving(draft, movedAt);
        if (progress !== null) migration.progress = { ...progress, at };
        if (tunnel !== null) migration.tunnel = tunnel;
      },
      {
        type: 'progress',
        message: progress === null ? 'tunnel' : `${progress.stage} ${Math.floor(progress.percent)} %`,
      },
    );
  }

  #heed(deliveredBytes: number): void {
    const before = this.#deliveredBytes;
    this.#deliveredBytes ??= 0;
    if (deliveredBytes - this.#deliveredBytes < ADVANCE_BYTES) return;
    if (before !== undefined) this.#movedAt = now();
    this.#deliveredBytes = deliveredBytes;
    this.#onAdvance();
  }

  /** Judged by what holds now: policy and limit may have been changed since the request. */
  async #extended({ sentShareOfPages, differencesOption, ...progress }: MigrationProgress, tunnel: TunnelStats | null) {
    const { id, migration } = this.#run;
    const { convergence, maxDowntimeMs } = policyOf(migration.request, (await this.#facts.changes?.get(id)) ?? {});
    const { bandwidthShareBytesPerSec: bandwidthBytesPerSec } = migration;
    const linkBitsPerSec = tunnel?.now?.linkBitsPerSec ?? null;
    const outlook = predictOutlook({
      bytesRemaining: progress.bytesRemaining,
      dirtyRateBytesPerSec: progress.dirtyRateBytesPerSec ?? this.#facts.dirtyRateBytesPerSec ?? null,
      countsPasses: progress.iteration !== null,
      // The link's own measurement is steadier than what the hypervisor sees of it, and there before it.
      goodputBytesPerSec: limited(
        linkBitsPerSec === null ? progress.rateBytesPerSec : linkBitsPerSec / 8,
        bandwidthBytesPerSec,
      ),
      sentShareOfPages,
      differencesOption,
      convergence,
      maxDowntimeMs,
      bandwidthBytesPerSec,
    });
    const moving = { ...progress, rateBytesPerSec: progress.rateBytesPerSec ?? throughTunnel(tunnel) };
    return { ...moving, etaMs: eta(moving), outlook: progress.stage === 'memory' ? outlook : null };
  }

  async #stats(): Promise<TunnelStats | null> {
    if (this.#tunnel === undefined) return null;
    return await askTunnel(this.#run, this.#tunnel, this.#closing.signal);
  }
}

const ASK_TIMEOUT_MS = 5_000;

/** What the pair has carried; `null` when it does not say. */
async function askTunnel(run: Run, tunnel: Tunnel, stop: AbortSignal): Promise<TunnelStats | null> {
  const signal = AbortSignal.any([run.lost, stop, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
  try {
    return await tunnel.stats({ signal });
  } catch (error) {
    if (!stop.aborted) run.log.warn({ err: error }, 'the gateways did not say how they are');
    return null;
  }
}

/** Records the last state of a tunnel that is about to go. */
export async function recordTunnel(run: Run, tunnel: Tunnel): Promise<void> {
  const stats = await askTunnel(run, tunnel, new AbortController().signal);
  if (stats === null) return;
  await run.update(({ migration }) => {
    migration.tunnel = stats;
  });
}

const limited = (bytesPerSec: number | null, limit: number | null): number | null =>
  bytesPerSec === null || limit === null ? bytesPerSec : Math.min(bytesPerSec, limit);

/** For hypervisors that tell no rate: what of their bytes, before any compression, arrives at the far gateway. */
function throughTunnel(tunnel: TunnelStats | null): number | null {
  const now = tunnel?.now ?? null;
  return now === null ? null : Math.round(now.sendBitsPerSec / 8);
}

/** Slower than this nothing moves to speak of: the time that is left by it is none that anybody would have to wait. */
const LEAST_RATE_BYTES_PER_SEC = 10_000;

function eta({ bytesRemaining, rateBytesPerSec }: MigrationProgress): number | null {
  if (rateBytesPerSec === null || rateBytesPerSec < LEAST_RATE_BYTES_PER_SEC) return null;
  return Math.round((bytesRemaining / rateBytesPerSec) * 1_000);
}
