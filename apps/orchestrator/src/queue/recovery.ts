/**
 * Looks, at start and again and again, for migrations that nobody looks after: those whose worker died, those that were
 * admitted and never reached one, those that waited too long, and those of which something is left to be taken down. From
 * the records themselves, not from BullMQ. It owns its timer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admission } from '../admission/admission.ts';
import type { Logger } from '../log.ts';
import type { MigrationStore } from '../migrations/store.ts';
import { renewalMs } from '../workflow/lease-clock.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { MigrationQueue } from './queue.ts';

/** Teardowns are tried again, and jobs that may be lost are sent again, only every so many rounds. */
const TEARDOWN_ROUNDS = 30;
const LOST_JOB_ROUNDS = 30;
/** After a fail-over, runs put back what Redis has forgotten of them: so many rounds later their places are counted again. */
const SETTLED_ROUNDS = 30;
/** A renewal may be on its way to a busy Redis. */
const PATIENCE = 1.5;

export interface Recovery {
  stop(): Promise<void>;
}

export function startRecovery(
  store: MigrationStore,
  {
    queue,
    admission,
    dispatcher,
    rebuild,
    servers,
    examine,
  }: {
    queue: MigrationQueue;
    admission: Admission;
    dispatcher: Dispatcher;
    /** Sets queue and places right from the records. */
    rebuild: () => Promise<void>;
    /** Who keeps them now; changes with every fail-over and every restart, which may have forgotten the last writes. */
    servers: () => Promise<string>;
    /** Says what is wrong with those that have taken over; of the first ones the start has said it. */
    examine: () => Promise<void>;
  },
  { intervalMs, leaseMs, log }: { intervalMs: number; leaseMs: number; log: Logger },
): Recovery {
  const watch = new OrphanWatch(PATIENCE * renewalMs(leaseMs));
  const stopping = new AbortController();
  let rebuiltOn: string | undefined;
  let examined: string | undefined;
  let settledAt = 0;
  /** While it cannot be done, what else a round does goes on, and the next round tries again. */
  const isRebuilt = async (): Promise<boolean> => {
    try {
      await rebuild();
      return true;
    } catch (error) {
      log.error({ err: error }, 'queue and places could not be set right from the records; the next round tries again');
      return false;
    }
  };
  const loop = async (): Promise<void> => {
    for (let round = 0; !stopping.signal.aborted; round++) {
      try {
        const orphans = watch.lost(await store.orphans(), performance.now());
        for (const { id, token } of orphans) await queue.hurry(id, `orphan${token}`);
        for (const id of await store.overdue()) await queue.hurry(id, 'overdue');
        if (round % LOST_JOB_ROUNDS === 0) {
          for (const id of await admission.notTakenUp()) await queue.hurry(id, `admitted${round}`);
        }
        const keptBy = await servers();
        if (keptBy !== rebuiltOn) settledAt = round + SETTLED_ROUNDS;
        const isDue = keptBy !== rebuiltOn || round === settledAt;
        if (isDue) rebuiltOn = (await isRebuilt()) ? keptBy : undefined;
        await dispatcher.look(); // an announcement may be lost as well
        if (round % TEARDOWN_ROUNDS === 0) {
          for (const id of await store.incomplete()) await queue.hurry(id, `teardown${round}`);
        }
        if (examined !== undefined && keptBy !== examined) await examine();
        examined = keptBy;
      } catch (error) {
        log.warn({ err: error }, 'looking for migrations without a worker failed');
      }
      await sleep(intervalMs, undefined, { signal: stopping.signal }).catch(() => undefined); // stop() ends the loop
    }
  };
  const running = loop();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

interface Orphan {
  readonly id: string;
  /** Of its last run. */
  readonly token: number;
}

/**
 * Tells those whose run is dead from those that have no lease for a moment: where the clock of Redis is set forward, leases end early, and a run
 * that lives renews its own. At the first look there is nothing to wait for: the runs of this process's earlier life are dead.
 */
class OrphanWatch {
  readonly #patienceMs: number;
  /** By whom, since when; null until the first look. */
  #seen: ReadonlyMap<string, number> | null = null;

  /** @param patienceMs within so long a run renews its lease */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** @param found without a lease now */
  lost(found: readonly Orphan[], nowMs: number): Orphan[] {
    const before = this.#seen;
    const since = (orphan: Orphan): number =>
      before === null ? Number.NEGATIVE_INFINITY : (before.get(nameOf(orphan)) ?? nowMs);
    this.#seen = new Map(found.map((orphan) => [nameOf(orphan), since(orphan)]));
    return found.filter((orphan) => nowMs - since(orphan) >= this.#patienceMs);
  }
}

const nameOf = ({ id, token }: Orphan): string => `${id} ${token}`;
