/**
 * Follows one migration or run of a plan until it ends, a balancing policy, or the notices of everything, over server-sent events. A lost connection is not an end:
 * it connects again with Last-Event-ID, waiting a little longer each time, so an orchestrator may be restarted meanwhile.
 * Owns one connection at a time, and closes it when the loop over it is left.
 */
import { delay } from './delay.ts';
import { apiErrorOf, isPassing, isRecord, LmasApiError, LmasConnectionError } from './errors.ts';
import { EventStreamDecoder } from './event-stream.ts';
import { explainNetworkError } from './network-errors.ts';
import { type BalancingNotice, hasEnded, type MigrationEvent, type Notice, type PlanRunEvent } from './types.ts';

export interface WatchOptions {
  signal?: AbortSignal;
  /** Continue after this event; without it the stream of a migration or a run begins with its first, any other with the next. */
  lastEventId?: string;
  /** Gives up when no connection could be had for so long; null tries for ever. Default: 10 minutes. */
  giveUpAfterMs?: number | null;
  /** A connection on which nothing came for so long is taken for dead (the server sends comments). Default: 60 s. */
  idleTimeoutMs?: number;
  /** Told about each lost connection before the wait. */
  onConnectionLost?: (error: LmasApiError | LmasConnectionError, nextAttemptInMs: number) => void;
  /** Told when a connection stands, the first and each later one. */
  onConnected?: () => void;
  /**
   * Told when some of what happened since the last event, or since `lastEventId`, is missing, as it is not kept any more: what is followed
   * has to be listed anew. `missed`: how many events; null: nobody knows.
   */
  onMissed?: (missed: number | null) => void;
}

export interface Watched<Event> {
  /** Place in the stream, to continue from. */
  readonly id: string;
  readonly event: Event;
}
export type WatchedEvent = Watched<MigrationEvent>;
export type WatchedNotice = Watched<Notice>;
export type WatchedRunEvent = Watched<PlanRunEvent>;
export type WatchedPolicyEvent = Watched<BalancingNotice>;

export interface WatchTarget {
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: typeof globalThis.fetch;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 10_000;

/** One kind of stream: where it is, and when it is over. */
interface Stream<Event> {
  readonly path: string;
  /** Whether that is what such a stream carries; what else answers is no orchestrator. */
  readonly carries: (event: Readonly<Record<string, unknown>>) => boolean;
  /** Nothing comes after this event. */
  readonly isLast: (event: Event) => boolean;
  /** The server closed in order after this event: whether it had nothing more to say. */
  readonly mayCloseAfter: (event: Event) => boolean;
}

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
export function watchMigration(
  target: WatchTarget,
  id: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchedEvent, void, void> {
  const stream: Stream<MigrationEvent> = {
    path: `/v1/migrations/${encodeURIComponent(id)}/events`,
    carries: ({ migration }) => isRecord(migration),
    isLast: ({ type }) => type === 'end',
    mayCloseAfter: ({ migration }) => hasEnded(migration),
  };
  return watch(target, stream, options);
}

/** Yields what happens in a run of a plan, from its beginning; returns after the event of type `end`. Throws as above. */
export function watchPlanRun(
  target: WatchTarget,
  id: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchedRunEvent, void, void> {
  const stream: Stream<PlanRunEvent> = {
    path: `/v1/plan-runs/${encodeURIComponent(id)}/events`,
    carries: ({ run }) => isRecord(run),
    isLast: ({ type }) => type === 'end',
    mayCloseAfter: () => false,
  };
  return watch(target, stream, options);
}

/** Yields every pass of a balancing policy and what becomes of its proposals, from now on, until it is removed. Throws as above. */
export function watchBalancingPolicy(
  target: WatchTarget,
  id: string,
  options: WatchOptions = {},
): AsyncGenerator<WatchedPolicyEvent, void, void> {
  const stream: Stream<BalancingNotice> = {
    path: `/v1/balancing-policies/${encodeURIComponent(id)}/events`,
    carries: ({ balancing }) => isRecord(balancing),
    isLast: () => false,
    mayCloseAfter: () => false,
  };
  return watch(target, stream, options);
}

/**
 * Yields every notice of what the caller may see, of migrations and of all else that tells, from now on; has no end of its own.
 * A newer orchestrator may tell of things that have no type here yet: pass over what is not known. Throws as above.
 */
export function watchNotices(
  target: WatchTarget,
  options: WatchOptions = {},
): AsyncGenerator<WatchedNotice, void, void> {
  const stream: Stream<Notice> = {
    path: '/v1/events',
    carries: ({ at }) => typeof at === 'string',
    isLast: () => false,
    mayCloseAfter: () => false,
  };
  return watch(target, stream, options);
}

async function* watch<Event extends { readonly type: string }>(
  target: WatchTarget,
  stream: Stream<Event>,
  options: WatchOptions,
): AsyncGenerator<Watched<Event>, void, void> {
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
      yield* readConnection(target, stream, position, options);
      if (position.ended) return;
      lost = new LmasConnectionError('CONNECTION_LOST', 'The orchestrator ended the event stream before it was over.');
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

async function* readConnection<Event extends { readonly type: string }>(
  { baseUrl, headers, fetch }: WatchTarget,
  stream: Stream<Event>,
  position: Position,
  options: WatchOptions,
): AsyncGenerator<Watched<Event>, void, void> {
  const idle = new IdleTimer(options.idleTimeoutMs ?? 60_000);
  const signal = options.signal === undefined ? idle.signal : AbortSignal.any([options.signal, idle.signal]);
  let response: Response | undefined;
  try {
    response = await fetch(`${baseUrl}${stream.path}`, {
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
    yield* readEvents(body, stream, position, { idle, onMissed: options.onMissed });
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

async function* readEvents<Event extends { readonly type: string }>(
  body: ReadableStream<Uint8Array>,
  stream: Stream<Event>,
  position: Position,
  { idle, onMissed }: { idle: IdleTimer; onMissed: WatchOptions['onMissed'] },
): AsyncGenerator<Watched<Event>, void, void> {
  const decoder = new EventStreamDecoder(position.lastEventId);
  let last: Event | undefined;
  // Leaving this loop, by return or by throw, cancels the body and with it the connection.
  for await (const chunk of chunksOf(body)) {
    idle.touch();
    for (const { event: name, data, id } of decoder.push(chunk)) {
      if (name === 'missed') {
        onMissed?.(countIn(data));
        continue;
      }
      last = parseEvent(stream, data);
      position.lastEventId = id;
      position.progressed = true;
      position.ended = stream.isLast(last);
      yield { id, event: last };
      if (position.ended) return;
    }
    position.lastEventId = decoder.lastEventId;
    position.retryMs = decoder.retryMs ?? position.retryMs;
  }
  // The server closed in order, and the record it showed last can change no more.
  position.ended = last !== undefined && stream.mayCloseAfter(last);
}

/** An earlier orchestrator does not say. */
function countIn(data: string): number | null {
  const told: unknown = JSON.parse(data);
  return isRecord(told) && typeof told.missed === 'number' ? told.missed : null;
}

/** Not every browser can loop over a body itself. */
async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined); // a broken body has told its reason already
  }
}

function parseEvent<Event extends { readonly type: string }>({ carries, path }: Stream<Event>, data: string): Event {
  const event: unknown = JSON.parse(data);
  if (!isRecord(event) || typeof event.type !== 'string' || !carries(event)) {
    throw new LmasConnectionError('NOT_LMAS', `The event stream ${path} carried something that is no event of LMAS.`);
  }
  return event as unknown as Event;
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
