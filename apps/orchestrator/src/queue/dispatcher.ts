/**
 * Hands admitted migrations to the workers. It looks whenever somebody says that there may be something to start (a
 * migration came, one ended, a limit changed), one look at a time, and asks admission for no more than this process has
 * room for: what nobody could run now stays in the order, where a later one with a higher priority can still pass it.
 */
import type { Redis } from 'ioredis';
import type { Admission } from '../admission/admission.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import type { MigrationQueue } from './queue.ts';

/** Started in one step: a script holds up everybody else while it runs. */
const BATCH = 20;

export interface Dispatcher {
  /** Looks now, or once more after the look that is under way. Never rejects. */
  look(): Promise<void>;
}

export async function startDispatcher(
  subscriber: Redis,
  admission: Admission,
  queue: MigrationQueue,
  /** Runs that this process could take up besides those it has. */
  { room, log }: { room: () => number; log: Logger },
): Promise<Dispatcher> {
  let looking: Promise<void> | undefined;
  let again = false;

  const startSome = async (): Promise<boolean> => {
    if (room() <= 0) return false;
    const batch = Math.min(BATCH, room() - (await queue.notStarted()));
    const started = batch <= 0 ? [] : await admission.admit(batch);
    if (started.length > 0) await queue.start(started);
    return batch > 0 && started.length === batch;
  };
  const lookUntilDone = async (): Promise<void> => {
    do {
      again = false;
      try {
        again = (await startSome()) || again;
      } catch (error) {
        log.warn({ err: error }, 'nothing could be started; the next look tries again');
      }
    } while (again);
    looking = undefined;
  };
  const look = (): Promise<void> => {
    again = true;
    looking ??= lookUntilDone();
    return looking;
  };

  subscriber.on('message', (channel: string) => {
    if (channel === keys.admissionChannel) void look();
  });
  await subscriber.subscribe(keys.admissionChannel);
  return { look };
}
