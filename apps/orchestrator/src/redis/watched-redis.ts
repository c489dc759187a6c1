/**
 * A connection to one Redis server that notices when it falls silent (heartbeat.ts), and to which one may subscribe at any
 * moment of its life.
 *
 * ioredis 5 sends SUBSCRIBE as soon as there is a socket, and then asks INFO whether the server is ready: a subscriber may not,
 * so it gives the connection up, with everything that waits for it, and has forgotten the subscription when it is back
 * (github.com/redis/ioredis/issues/2037). So subscriptions wait until it is ready, or gone: then ioredis keeps them itself.
 * On a connection that was made anew it sends them, and SELECT, by itself and looks at no answer (readyHandler of event_handler.js): one
 * that is closed before they are answered would leave a rejection that is nobody's, which ends the process.
 */
import { Redis, type RedisOptions } from 'ioredis';
import { keepHeartbeat } from './heartbeat.ts';

/**
 * BullMQ waits for jobs on a duplicate of a worker's connection, for at most so long (`maximumBlockTimeout` of its Redis
 * backend): nothing else is answered there meanwhile.
 */
export const LONGEST_WAIT_MS = 10_000;

const SENT_BY_ITSELF: ReadonlySet<string> = new Set(['subscribe', 'psubscribe', 'ssubscribe', 'select']);
const SUBSCRIPTIONS: ReadonlySet<string> = new Set(['subscribe', 'psubscribe', 'unsubscribe', 'punsubscribe']);

type Sending = Parameters<Redis['sendCommand']>;

export class WatchedRedis extends Redis {
  readonly #silenceMs: number;
  #waiting: Sending[] = [];
  /** The stream that keeps what is asked until the end of this turn. */
  #gathering: Redis['stream'] | undefined;

  constructor(options: RedisOptions, silenceMs: number, waitsMs = 0) {
    super(options);
    this.#silenceMs = silenceMs;
    keepHeartbeat(this, silenceMs + waitsMs);
    for (const event of ['ready', 'close']) this.on(event, () => this.#sendWaiting());
  }

  override duplicate(override?: Partial<RedisOptions>): Redis {
    return new WatchedRedis({ ...this.options, ...override }, this.#silenceMs, LONGEST_WAIT_MS);
  }

  override sendCommand(...sending: Sending): unknown {
    const [command] = sending;
    if (SENT_BY_ITSELF.has(command.name)) command.promise.catch(() => undefined); // who did send it is told all the same
    if (this.status === 'connect' && SUBSCRIPTIONS.has(command.name)) {
      this.#waiting.push(sending);
      return command.promise;
    }
    this.#gather();
    return super.sendCommand(...sending);
  }

  /** What is asked in one turn goes out in one write: each of its own would wake Redis, and cost more than the command. */
  #gather(): void {
    const { stream } = this;
    if (stream === undefined || this.#gathering === stream) return;
    this.#gathering = stream;
    stream.cork();
    process.nextTick(() => {
      this.#gathering = undefined;
      stream.uncork();
    });
  }

  #sendWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const sending of waiting) this.sendCommand(...sending);
  }
}
