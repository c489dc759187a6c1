/**
 * Runs migrations in this process: claims each, hands it to the workflow, and brings it the news of a cancel, or of a person
 * who looks after it instead. It owns the runs under way.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { LogTap } from '../observability/log-tap.ts';
import { keepLog } from '../observability/record-log.ts';
import { keys } from '../redis/keys.ts';
import { inRunSpan } from '../tracing/migration-spans.ts';
import type { Job } from '../tracing/queue-spans.ts';
import { carryOut } from '../workflow/carry-out.ts';
import { Run, type RunOptions } from '../workflow/run.ts';
import type { Tools } from '../workflow/tools.ts';

export interface Runner {
  /**
   * Takes a migration as far as it goes. Never rejects; harmless when another worker has it, or when it is over. False: it was not even
   * looked at, because this process is going down, and its job is for another one.
   */
  run(migrationId: string, job: Job): Promise<boolean>;
  /** Migrations that this process has in its hands. */
  activeCount(): number;
  /**
   * Lets go of everything under way, and of whatever is handed to it from then on, touching nothing more; the next worker recovers it.
   * Those past the point of no return first have `handOverMs` to come to their end: their guests may stand still until then.
   */
  abandonAll(options: { readonly handOverMs: number }): Promise<void>;
}

/**
 * The hypervisor has handed the guest over, or is at it, and nobody has said yet where it runs from now on. A guest in post-copy runs, and
 * the hypervisor goes on for as long as that takes: the next run follows it.
 */
export function isBetweenHosts({
  isPastNoReturn,
  migration,
  notes,
}: Pick<Run, 'isPastNoReturn' | 'migration' | 'notes'>): boolean {
  const isInPostCopy = migration.phase === 'performing' && migration.progress?.stage === 'post-copy';
  return isPastNoReturn && !isInPostCopy && notes.outcome === null;
}

export async function createRunner(
  subscriber: Redis,
  store: MigrationStore,
  tools: Tools,
  options: RunOptions & { readonly tap: LogTap },
): Promise<Runner> {
  const { log } = options;
  const active = new Map<string, { run: Run; done: Promise<void> }>();
  let inHand = 0;
  let goingDown: LmasError | undefined;
  subscriber.on('message', (channel: string, migrationId: string) => {
    if (channel === keys.cancelChannel) void active.get(migrationId)?.run.look();
  });
  await subscriber.subscribe(keys.cancelChannel);

  const takeOn = async (run: Run): Promise<void> => {
    try {
      await carryOut(run, tools);
    } catch (error) {
      // The lease is kept until it expires: that is the pause before the next attempt.
      run.log.error({ err: error }, 'the run broke off; it will be taken up again');
      run.abandon(new LmasError('INTERRUPTED'));
      return;
    }
    await run.close().catch((error: unknown) => run.log.warn({ err: error }, 'the lease could not be given back'));
  };

  return {
    async run(migrationId, job) {
      // A claim would count as one more run, which the next one has to recover from.
      if (goingDown !== undefined) {
        log.debug({ migration: migrationId }, 'going down: left to the next worker');
        return false;
      }
      inHand += 1;
      let own: { run: Run; done: Promise<void> } | undefined;
      try {
        const run = await Run.claim(store, migrationId, options);
        if (typeof run === 'string') {
          log.debug({ migration: migrationId, answer: run }, 'nothing to run');
          return true;
        }
        if (goingDown !== undefined) {
          // It was being claimed when the others were let go.
          run.abandon(goingDown);
          await run.close();
          return true;
        }
        await using _log = keepLog(options.tap, store, run);
        own = { run, done: inRunSpan(run, job, () => takeOn(run)) };
        active.set(migrationId, own);
        await own.done;
      } catch (error) {
        log.error({ err: error, migration: migrationId }, 'the migration could not be taken up');
      } finally {
        inHand -= 1;
        // A second job of the same migration, which found it taken, leaves the first one's entry alone.
        if (own !== undefined && active.get(migrationId) === own) active.delete(migrationId);
      }
      return true;
    },
    activeCount: () => inHand,
    async abandonAll({ handOverMs }) {
      goingDown = new LmasError('INTERRUPTED', 'The orchestrator is going down.');
      const all = [...active.values()];
      const betweenHosts = all.filter(({ run }) => isBetweenHosts(run));
      for (const each of all) if (!betweenHosts.includes(each)) each.run.abandon(goingDown);
      const ended = Promise.all(betweenHosts.map(({ done }) => done));
      await Promise.race([ended, sleep(handOverMs, undefined, { ref: false })]);
      for (const { run } of betweenHosts) run.abandon(goingDown);
      await Promise.all(all.map(({ done }) => done));
    },
  };
}
