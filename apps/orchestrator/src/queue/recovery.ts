/**
 * Looks, at start and again and again, for migrations that nobody looks after: those whose worker died, those that never
 * reached the queue, those that waited too long, and those of which something is left to be taken down. From the records
 * themselves, not from BullMQ. It owns its timer.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { MigrationQueue } from './queue.ts';

/** Teardowns are tried again, and a queue that lost a job is filled up, only every so many rounds. */
const TEARDOWN_ROUNDS = 30;
const ENQUEUE_ROUNDS = 600;
const CHUNK = 500;

export interface Recovery {
  stop(): Promise<void>;
}

export function startRecovery(
  store: MigrationStore,
  queue: MigrationQueue,
  { intervalMs, log }: { intervalMs: number; log: Logger },
): Recovery {
  const stopping = new AbortController();
  const loop = async (): Promise<void> => {
    for (let round = 0; !stopping.signal.aborted; round++) {
      try {
        await hurryOrphans(store, queue);
        for (const id of await store.overdue()) await queue.hurry(id, 'overdue');
        if (round % ENQUEUE_ROUNDS === 0) await enqueueWaiting(store, queue);
        if (round % TEARDOWN_ROUNDS === 0) {
          for (const id of await store.incomplete()) await queue.hurry(id, `teardown${round}`);
        }
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

async function enqueueWaiting(store: MigrationStore, queue: MigrationQueue): Promise<void> {
  const waiting = await store.waiting();
  for (let i = 0; i < waiting.length; i += CHUNK) await queue.enqueue(waiting.slice(i, i + CHUNK));
}
