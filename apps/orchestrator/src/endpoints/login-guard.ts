/**
 * Keeps unattended work from locking accounts: a login that was refused is not tried again before a long pause has passed,
 * unless what is presented has changed meanwhile. Most systems lock after three to ten refusals within fifteen to thirty
 * minutes (pam_faillock: 3 in 15). So many may also come at the same time: of those that present what was not accepted lately,
 * one asks, and the others wait for what becomes of it; not for long, so that an end that hangs delays nobody's look at the other one.
 * In memory: a process that starts anew may ask once more.
 */
import { createHash } from 'node:crypto';
import { raceSignal } from '../workflow/waiting.ts';

interface Refusal {
  readonly presented: string;
  readonly error: unknown;
  readonly notBefore: number;
  readonly retryAt: Date;
}

/** What a login that failed says of those that wait for it: no door would open to them either, or nothing. */
export type Verdict = 'refused' | 'unreachable' | 'none';

export interface Attempt {
  /** What is logged in to; one account, one name. */
  readonly door: string;
  /** Everything the answer depends on; only its digest is kept. */
  readonly presented: unknown;
  /** A person asks for it: tried also where it was refused before. */
  readonly attended: boolean;
  /** Ends a wait for somebody else's login; `login` is called then, and heeds it. */
  readonly signal: AbortSignal;
}

/** Longer than a refusal takes, with the pause that systems make before it (pam_faildelay: 2 s). */
const PATIENCE_MS = 5_000;

export class LoginGuard {
  readonly #pauseMs: number;
  readonly #patienceMs: number;
  readonly #judge: (error: unknown) => Verdict;
  readonly #refusals = new Map<string, Refusal>();
  /** By door: what was accepted there last, and until when that is taken to be so still. */
  readonly #accepted = new Map<string, { readonly presented: string; readonly until: number }>();
  /** By door and what is presented: resolves with the failure that holds for everybody who waits, if it is one. */
  readonly #firsts = new Map<string, Promise<{ readonly error: unknown } | undefined>>();

  /** @param judge `unreachable` only where the failure is not of that one login's own making, such as that it was given up */
  constructor(pauseMs: number, judge: (error: unknown) => Verdict, { patienceMs = PATIENCE_MS } = {}) {
    this.#pauseMs = pauseMs;
    this.#patienceMs = patienceMs;
    this.#judge = judge;
  }

  /** Logs in by `login`, or throws the refusal of before, or of who asked at the same time, without asking anybody. */
  async pass<T>({ door, presented, attended, signal }: Attempt, login: () => Promise<T>): Promise<T> {
    const digest = createHash('sha256').update(JSON.stringify(presented)).digest('hex');
    const former = this.#refusals.get(door);
    const isSame = former?.presented === digest;
    if (isSame && !attended && performance.now() < former.notBefore) throw former.error;
    const key = `${door} ${digest}`;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(this.#patienceMs)]);
    while (!this.#isAccepted(door, digest) && !patience.aborted) {
      const first = this.#firsts.get(key);
      if (first === undefined) return await this.#beFirst(key, () => this.#logIn(door, digest, login));
      // Out of patience, or given up: `login` knows how to say the latter.
      const failure = await raceSignal(first, patience).catch(() => undefined);
      if (failure !== undefined) throw failure.error;
    }
    return await this.#logIn(door, digest, login);
  }

  /** From when on a login that was refused is tried again without a person who asks for it. */
  retryAt(door: string): Date | undefined {
    return this.#refusals.get(door)?.retryAt;
  }

  #isAccepted(door: string, digest: string): boolean {
    const accepted = this.#accepted.get(door);
    return accepted?.presented === digest && performance.now() < accepted.until;
  }

  async #beFirst<T>(key: string, login: () => Promise<T>): Promise<T> {
    const known = Promise.withResolvers<{ readonly error: unknown } | undefined>();
    this.#firsts.set(key, known.promise);
    try {
      const result = await login();
      known.resolve(undefined);
      return result;
    } catch (error) {
      known.resolve(this.#judge(error) === 'none' ? undefined : { error });
      throw error;
    } finally {
      this.#firsts.delete(key);
    }
  }

  async #logIn<T>(door: string, digest: string, login: () => Promise<T>): Promise<T> {
    try {
      const result = await login();
      this.#refusals.delete(door);
      this.#accepted.set(door, { presented: digest, until: performance.now() + this.#pauseMs });
      return result;
    } catch (error) {
      if (this.#judge(error) === 'refused') {
        const notBefore = performance.now() + this.#pauseMs;
        const retryAt = new Date(Date.now() + this.#pauseMs);
        this.#refusals.set(door, { presented: digest, error, notBefore, retryAt });
        this.#accepted.delete(door);
      }
      throw error;
    }
  }
}
