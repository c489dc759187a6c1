/**
 * Looks, at start and again and again, for migrations that nobody looks after: those whose worker died, those that were
 * admitted and never reached one, those that waited too long, and those of which something is left to be taken down. From
 * the records themselves, not from BullMQ. It owns its timer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admission } from '../admission/admission.ts';
import type { Logger } from '../log.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { MigrationQueue } from './queue.ts';

/** Teardowns are tried again, and jobs that may be lost are sent again, only every so many rounds. */
const TEARDOWN_ROUNDS = 30;
const LOST_JOB_ROUNDS = 30;
/** After a fail-over, runs put back what Redis has forgotten of them: so many rounds later their places are counted again. */
const SETTLED_ROUNDS = 30;

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
  { intervalMs, log }: { intervalMs: number; log: Logger },
): Recovery {
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
        await hurryOrphans(store, queue);
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

async function hurryOrphans(store: MigrationStore, queue: MigrationQueue): Promise<void> {
  for (const { id, token } of await store.orphans()) await queue.hurry(id, `orphan${token}`);
}
