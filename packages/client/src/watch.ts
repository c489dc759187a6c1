/**
 * Follows one migration over server-sent events until it ends. A lost connection is not an end: it connects again with
 * Last-Event-ID, waiting a little longer each time, so an orchestrator may be restarted meanwhile. Owns one connection
 * at a time, and closes it when the loop over it is left.
 */
import { delay } from './delay.ts';
import { apiErrorOf, isRecord, LmasApiError, LmasConnectionError } from './errors.ts';
import { EventStreamDecoder } from './event-stream.ts';
import { explainNetworkError } from './network-errors.ts';
import { hasEnded, type MigrationEvent } from './types.ts';

export interface WatchOptions {
  signal?: AbortSignal;
  /** Continue after this event; without it the stream begins with the migration's first. */
  lastEventId?: string;
  /** Gives up when no connection could be had for so long; null tries for ever. Default: 10 minutes. */
  giveUpAfterMs?: number | null;
  /** A connection on which nothing came for so long is taken for dead (the server sends comments). Default: 60 s. */
  idleTimeoutMs?: number;
  /** Told about each lost connection before the wait. */
  onConnectionLost?: (error: LmasApiError | LmasConnectionError, nextAttemptInMs: number) => void;
  /** Told when a connection stands, the first and each later one. */
  onConnected?: () => void;
}

export interface WatchedEvent {
  /** Place in the stream, to continue from. */
  readonly id: string;
  readonly event: MigrationEvent;
}

export interface WatchTarget {
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: typeof globalThis.fetch;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 10_000;

/** Mutable state of one watch across its connections. */
interface Position {
  lastEventId: string;
  ended: boolean;
  retryMs: number | undefined;
  /** Whether this connection has brought anything: then waiting starts afresh. */
  progressed: boolean;
}

/**
 * Yields every event once, in order; returns after the event of type `end`. Throws `LmasApiError` when the orchestrator
 * refuses (no such migration, wrong key), `LmasConnectionError` when it gave up, and the signal's reason on abort.
 */
export async function* watchMigration(
  target: WatchTarget,
  id: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchedEvent, void, void> {
  const giveUpAfterMs = options.giveUpAfterMs === undefined ? 600_000 : options.giveUpAfterMs;
  const position: Position = {
    lastEventId: options.lastEventId ?? '',
    ended: false,
    retryMs: undefined,
    progressed: false,
  };
  let lostAt: number | undefined;
  for (let attempt = 0; ; attempt += 1) {
    options.signal?.throwIfAborted();
    let lost: LmasApiError | LmasConnectionError;
    position.progressed = false;
    try {
      yield* readConnection(target, id, position, options);
      if (position.ended) return;
      lost = new LmasConnectionError(
        'CONNECTION_LOST',
        'The orchestrator ended the event stream before the migration ended.',
      );
    } catch (error) {
      if (options.signal?.aborted || !isPassing(error)) throw error;
      lost = error;
    }
    if (position.progressed) {
      attempt = 0;
      lostAt = undefined;
    }
    const now = performance.now();
    lostAt ??= now;
    const delayMs = backOffMs(attempt, position.retryMs, lost);
    if (giveUpAfterMs !== null && now + delayMs - lostAt > giveUpAfterMs) throw lost;
    options.onConnectionLost?.(lost, delayMs);
    await delay(delayMs, options.signal);
  }
}

async function* readConnection(
  { baseUrl, headers, fetch }: WatchTarget,
  id: string,
  position: Position,
  options: WatchOptions,
): AsyncGenerator<WatchedEvent, void, void> {
  const idle = new IdleTimer(options.idleTimeoutMs ?? 60_000);
  const signal = options.signal === undefined ? idle.signal : AbortSignal.any([options.signal, idle.signal]);
  let response: Response | undefined;
  try {
    response = await fetch(`${baseUrl}/v1/migrations/${encodeURIComponent(id)}/events`, {
      headers: {
        ...headers,
        accept: 'text/event-stream',
        ...(position.lastEventId === '' ? {} : { 'last-event-id': position.lastEventId }),
      },
      redirect: 'manual',
      signal,
    });
    const body = await openBody(response, baseUrl);
    if (body === null) {
      position.ended = true;
      return;
    }
    options.onConnected?.();
    yield* readEvents(body, position, idle);
  } catch (error) {
    if (error instanceof LmasApiError || error instanceof LmasConnectionError) throw error;
    if (idle.signal.aborted && !options.signal?.aborted) throw idle.signal.reason;
    throw explainNetworkError(error, baseUrl, { signal: options.signal, sent: response !== undefined });
  } finally {
    idle.stop();
  }
}

/** The body of a good answer; null for 204, which says that there is nothing more. */
async function openBody(response: Response, baseUrl: string): Promise<ReadableStream<Uint8Array> | null> {
  if (response.status === 204) return null;
  if (!response.ok) {
    const text = await response.text();
    throw apiErrorOf(response, text.startsWith('{') ? JSON.parse(text) : undefined);
  }
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('text/event-stream') || response.body === null) {
    await response.body?.cancel();
    throw new LmasConnectionError('NOT_LMAS', `What answers at ${baseUrl} sent "${type}" and not an event stream.`);
  }
  return response.body;
}

async function* readEvents(
  body: ReadableStream<Uint8Array>,
  position: Position,
  idle: IdleTimer,
): AsyncGenerator<WatchedEvent, void, void> {
  const decoder = new EventStreamDecoder(position.lastEventId);
  let last: MigrationEvent | undefined;
  // Leaving this loop, by return or by throw, cancels the body and with it the connection.
  for await (const chunk of body) {
    idle.touch();
    for (const { data, id } of decoder.push(chunk)) {
      last = parseEvent(data);
      position.lastEventId = id;
      position.progressed = true;
      position.ended = last.type === 'end';
      yield { id, event: last };
      if (position.ended) return;
    }
    position.retryMs = decoder.retryMs ?? position.retryMs;
  }
  // The server closed in order, and the record it showed last can change no more.
  position.ended = last !== undefined && hasEnded(last.migration);
}

function parseEvent(data: string): MigrationEvent {
  const event: unknown = JSON.parse(data);
  if (!isRecord(event) || typeof event.type !== 'string' || !isRecord(event.migration)) {
    throw new LmasConnectionError(
      'NOT_LMAS',
      'The event stream carried something that is not an event of a migration.',
    );
  }
  return event as unknown as MigrationEvent;
}

/** Whether it may pass by itself: the network, a restart, an overload, a proxy whose backend is away. */
function isPassing(error: unknown): error is LmasApiError | LmasConnectionError {
  if (error instanceof LmasConnectionError) return error.retryable;
  return error instanceof LmasApiError && (error.status === 429 || error.status >= 500);
}

/** Doubles from a quarter of a second, with jitter so that many watchers do not come back at once. */
function backOffMs(attempt: number, retryMs: number | undefined, lost: LmasApiError | LmasConnectionError): number {
  const wanted = lost instanceof LmasApiError ? lost.retryAfterMs : undefined;
  const exponential = Math.min(LONGEST_DELAY_MS, (retryMs ?? FIRST_DELAY_MS) * 2 ** Math.min(attempt, 10));
  return Math.max(wanted ?? 0, exponential * (0.75 + Math.random() / 2));
}

/** Aborts its signal when `touch` was not called for so long. */
class IdleTimer {
  readonly #controller = new AbortController();
  readonly #idleMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(idleMs: number) {
    this.#idleMs = idleMs;
    this.touch();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  touch(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const message = `Nothing came from the orchestrator for ${Math.round(this.#idleMs / 1_000)} s.`;
      this.#controller.abort(new LmasConnectionError('CONNECTION_LOST', message));
    }, this.#idleMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
