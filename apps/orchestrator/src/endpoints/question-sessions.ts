/**
 * The sessions for questions that belong to no run: of each endpoint one in this process, opened for the first question, shared by all
 * that are asked meanwhile, and kept for a while after the last. So a page that is open logs in once, and what a plugin follows
 * (changes of an inventory) is worth following. Runs have sessions of their own: what they may do is fenced.
 *
 *   nobody asks ──lend──▶ opening ──login──▶ open ◀──lend, giveBack──▶ idle ──KEEP_MS──▶ closed
 *
 * A session is lent to nobody any more, and closed once everybody has given it back, when its connection is lost or doubted, or
 * when its endpoint is not registered any more as it was then. A login that fails is nobody's but those who waited for it.
 * Owns the sessions; nothing here keeps the process alive.
 */
import { errorCode, LmasError } from '../errors.ts';
import { raceSignal } from '../time/waiting.ts';
import type { Connected, LogIn, ReadRegistration, Registration } from './connector.ts';
import type { LendOptions, Lent } from './questions.ts';

/** Longer than the pause between two looks of a page or of balancing; an idle session costs one connection. */
const KEEP_MS = 120_000;
/** How soon it is noticed that another process has changed or removed an endpoint; a question notices it at once. */
const LOOK_MS = 5_000;
/** Nobody waits longer for a login; each plugin has limits of its own below that. */
const LOGIN_MS = 60_000;

const GONE: ReadonlySet<string | undefined> = new Set(['ENDPOINT_NOT_FOUND', 'CREDENTIAL_NOT_FOUND']);

interface Shared {
  readonly endpointId: string;
  readonly digest: string;
  readonly opening: Promise<Connected>;
  /** Ends a login that nobody waits for. */
  readonly giveUp: AbortController;
  open: Connected | undefined;
  lent: number;
  idle: NodeJS.Timeout | undefined;
}

export interface SessionParts {
  readonly logIn: LogIn;
  /** How an endpoint is registered now; throws at once while Redis is away. */
  readonly readRegistration: ReadRegistration;
  readonly keepMs?: number;
  readonly lookMs?: number;
}

export class QuestionSessions implements AsyncDisposable {
  readonly #parts: Required<SessionParts>;
  /** By endpoint, those that may be lent. */
  readonly #shared = new Map<string, Shared>();
  /** Lent to nobody any more, and not closed yet; those that are just being closed with when that is done. */
  readonly #retired = new Map<Shared, Promise<void> | undefined>();
  readonly #ended = new AbortController();
  readonly #plugins = new Set<string>();
  #looks: NodeJS.Timeout | undefined;

  constructor(parts: SessionParts) {
    this.#parts = { keepMs: KEEP_MS, lookMs: LOOK_MS, ...parts };
  }

  /**
   * The session of all questions to that endpoint, as it is registered now. `attended`: a new one, for this question alone.
   * @throws what `logIn` throws; the signal's reason
   */
  async lend(registration: Registration, { signal, attended = false }: LendOptions): Promise<Lent> {
    this.#ended.signal.throwIfAborted();
    if (attended) return await alone(this.#parts.logIn(registration, { signal, attended }), signal);
    const before = this.#usable(registration);
    const shared = before ?? this.#begin(registration);
    shared.lent += 1;
    clearTimeout(shared.idle);
    let isOut = true;
    const giveBack = async (): Promise<void> => {
      if (isOut) this.#giveBack(shared);
      isOut = false;
    };
    try {
      const connected = await raceSignal(shared.opening, signal);
      return { ...connected, isKept: before !== undefined, giveBack, discard: () => this.#retire(shared) };
    } catch (error) {
      await giveBack();
      throw error;
    }
  }

  /** Looks whether endpoints are registered as they were when their sessions were opened. Never throws. */
  async look(): Promise<void> {
    await Promise.all([...this.#shared.values()].map((shared) => this.#check(shared)));
  }

  /** How many are open, by plugin; a plugin that has had one stays in it. */
  openByPlugin(): ReadonlyMap<string, number> {
    const all = [...this.#shared.values(), ...this.#retired.keys()].flatMap(({ open }) => open?.plugin.name ?? []);
    return new Map([...this.#plugins].map((name) => [name, all.filter((each) => each === name).length]));
  }

  /** Closes all, also those that are lent, and waits for it. Nothing is lent any more. */
  async close(): Promise<void> {
    this.#ended.abort(new LmasError('UNAVAILABLE', 'The orchestrator is going down.'));
    for (const shared of [...this.#shared.values()]) this.#retire(shared);
    for (const shared of this.#retired.keys()) this.#end(shared);
    await Promise.all(this.#retired.values());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #usable({ endpoint, digest }: Registration): Shared | undefined {
    const shared = this.#shared.get(endpoint.id);
    if (shared === undefined) return undefined;
    if (shared.digest === digest && shared.open?.session.closed.aborted !== true) return shared;
    this.#retire(shared);
    return undefined;
  }

  #begin(registration: Registration): Shared {
    const { endpoint, digest } = registration;
    const giveUp = new AbortController();
    const signal = AbortSignal.any([giveUp.signal, AbortSignal.timeout(LOGIN_MS)]);
    const opening = this.#parts.logIn(registration, { signal });
    const shared: Shared = {
      endpointId: endpoint.id,
      digest,
      opening,
      giveUp,
      open: undefined,
      lent: 0,
      idle: undefined,
    };
    this.#shared.set(endpoint.id, shared);
    this.#looks ??= setInterval(() => void this.look(), this.#parts.lookMs).unref();
    opening.then(
      (connected) => this.#opened(shared, connected),
      () => this.#forget(shared),
    );
    return shared;
  }

  #opened(shared: Shared, connected: Connected): void {
    shared.open = connected;
    this.#plugins.add(connected.plugin.name);
    const { closed } = connected.session;
    const onLost = () => this.#retire(shared);
    if (closed.aborted) onLost();
    else closed.addEventListener('abort', onLost, { once: true });
  }

  #giveBack(shared: Shared): void {
    shared.lent -= 1;
    if (shared.lent > 0) return;
    if (this.#retired.has(shared)) this.#end(shared);
    else if (shared.open === undefined) this.#retire(shared);
    else if (this.#isCurrent(shared)) shared.idle = setTimeout(() => this.#retire(shared), this.#parts.keepMs).unref();
  }

  async #check(shared: Shared): Promise<void> {
    try {
      const { digest } = await this.#parts.readRegistration(shared.endpointId);
      if (digest !== shared.digest) this.#retire(shared);
    } catch (error) {
      if (GONE.has(errorCode(error))) this.#retire(shared); // while nobody can tell, it stays
    }
  }

  /** Lends it to nobody any more. Idempotent. */
  #retire(shared: Shared): void {
    if (!this.#forget(shared)) return;
    this.#retired.set(shared, undefined);
    if (shared.lent === 0) this.#end(shared);
  }

  /** @returns whether it could have been lent until now */
  #forget(shared: Shared): boolean {
    clearTimeout(shared.idle);
    const isKnown = this.#isCurrent(shared);
    if (isKnown) this.#shared.delete(shared.endpointId);
    if (this.#shared.size === 0) {
      clearInterval(this.#looks);
      this.#looks = undefined;
    }
    return isKnown;
  }

  #isCurrent(shared: Shared): boolean {
    return this.#shared.get(shared.endpointId) === shared;
  }

  /** Idempotent. */
  #end(shared: Shared): void {
    if (this.#retired.get(shared) !== undefined) return;
    shared.giveUp.abort(new LmasError('UNAVAILABLE', 'Nobody asks any more.'));
    const closing = shared.opening
      .then(({ session }) => session.close())
      .catch(() => undefined) // a login that failed has left nothing open
      .finally(() => this.#retired.delete(shared));
    this.#retired.set(shared, closing);
  }
}

async function alone(opening: Promise<Connected>, signal: AbortSignal): Promise<Lent> {
  try {
    const connected = await raceSignal(opening, signal);
    return { ...connected, isKept: false, giveBack: () => connected.session.close(), discard: () => undefined };
  } catch (error) {
    opening.then(({ session }) => session.close()).catch(() => undefined); // it comes too late, if it comes
    throw error;
  }
}
