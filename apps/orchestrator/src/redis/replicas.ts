/**
 * Writes that matter wait until a replica has them as well, where there is one: a fail-over then forgets nothing that was
 * acknowledged. WAIT holds up its whole connection, so all who wait share it: one is under way, and one more stands for
 * everybody who came meanwhile. It is over before the connection counts as silent. A replica that does not answer is left alone for a while, and that is said. What is lost
 * all the same is found by the count of writes that each run keeps (see migrations/scripts.ts).
 */
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { PREFIX } from './keys.ts';

const LONGEST_PATIENCE_MS = 1_000;
const LOOK_AGAIN_MS = 10_000;

interface Settings {
  /** A connection that is silent for so long is given up. */
  readonly silenceMs: number;
  readonly log: Logger;
}

class Replicas {
  readonly #redis: Redis;
  readonly #log: Logger;
  readonly #patienceMs: number;
  #count = 0;
  /** On the monotonic clock, as the next one. */
  #lookAgainAt = 0;
  #notBefore = 0;
  #isSilent = false;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(redis: Redis, { silenceMs, log }: Settings) {
    this.#patienceMs = Math.min(LONGEST_PATIENCE_MS, Math.floor(silenceMs / 2));
    this.#redis = redis;
    this.#log = log;
    redis.on('ready', () => void this.look()); // perhaps another server
  }

  /** Asked in a script, so that it is the server that holds our keys which answers. */
  async look(): Promise<void> {
    this.#lookAgainAt = performance.now() + LOOK_AGAIN_MS;
    try {
      const info = String(await this.#redis.eval(`return redis.call('INFO', 'replication')`, 1, PREFIX));
      this.#count = Number(/^connected_slaves:(\d+)/m.exec(info)?.[1] ?? 0);
    } catch (error) {
      this.#log.warn({ err: String(error) }, 'Redis does not say whether it has replicas');
    }
  }

  /** Resolves when a replica has what was written on this connection before; or will not say so in time. */
  async have(): Promise<void> {
    if (performance.now() > this.#lookAgainAt) void this.look();
    if (this.#count === 0 || performance.now() < this.#notBefore) return;
    // The one under way may have been sent before the write.
    if (this.#current !== undefined) {
      // One that broke off is its own waiters' misfortune, not that of those who come after it.
      this.#next ??= this.#current
        .catch(() => undefined)
        .then(() => {
          this.#next = undefined;
          return this.#begin();
        });
      return await this.#next;
    }
    await this.#begin();
  }

  #begin(): Promise<void> {
    this.#current ??= this.#wait().finally(() => {
      this.#current = undefined;
    });
    return this.#current;
  }

  async #wait(): Promise<void> {
    if (performance.now() < this.#notBefore) return;
    // In a cluster the first command tells where to: WAIT is about what one connection has written.
    const answers = await this.#redis.pipeline().exists(PREFIX).wait(1, this.#patienceMs).exec();
    const [, [error, replicas] = [null, 0]] = answers ?? [];
    if (error) throw error;
    const isSilent = Number(replicas) === 0;
    if (isSilent) this.#notBefore = performance.now() + LOOK_AGAIN_MS;
    if (isSilent === this.#isSilent) return;
    this.#isSilent = isSilent;
    if (isSilent) this.#log.warn({}, 'no replica of Redis acknowledged a write: a fail-over now could forget it');
    else this.#log.info({}, 'a replica of Redis acknowledges writes again');
  }
}

const known = new WeakMap<Redis, Replicas>();

/** From now on `replicated` waits for the replicas of this connection's server, if it has any. */
export async function waitForReplicas(redis: Redis, settings: Settings): Promise<void> {
  const replicas = new Replicas(redis, settings);
  known.set(redis, replicas);
  await replicas.look();
}

export async function replicated(redis: Redis): Promise<void> {
  await known.get(redis)?.have();
}
