/**
 * Keeps unattended work from locking accounts: a login that was refused is not tried again before a long pause has passed,
 * unless what is presented has changed meanwhile. Most systems lock after three to ten refusals within fifteen to thirty
 * minutes (pam_faillock: 3 in 15). So many may also come at the same time: of those that present what was not accepted lately,
 * one asks, and the others wait for what becomes of it; not for long, so that an end that hangs delays nobody's look at the other one.
 * In memory: a process that starts anew may ask once more.
 */
import { createHash } from 'node:crypto';
import { raceSignal } from '../time/waiting.ts';

interface Refusal {
  readonly error: unknown;
  readonly notBefore: number;
  readonly retryAt: Date;
}

interface Failure {
  readonly error: unknown;
  readonly verdict: Verdict;
  readonly way: string;
}

/** What a login that failed says of those that wait for it: no door would open to them either, or nothing. */
export type Verdict = 'refused' | 'unreachable' | 'none';

export interface Attempt {
  /** What is logged in to; whoever comes to it with the same is the same account. */
  readonly door: string;
  /** Everything by which it is decided there who may come in; only its digest is kept. */
  readonly presented: unknown;
  /** How it is got to: a failure on the way is that of those who take the same one. */
  readonly way: string;
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
  // By door and what is presented there:
  readonly #refusals = new Map<string, Refusal>();
  /** Until when it is taken to be accepted still. */
  readonly #accepted = new Map<string, number>();
  /** Resolves with the failure that holds for those who wait, if it is one. */
  readonly #firsts = new Map<string, Promise<Failure | undefined>>();

  /** @param judge `unreachable` only where the failure is not of that one login's own making, such as that it was given up */
  constructor(pauseMs: number, judge: (error: unknown) => Verdict, { patienceMs = PATIENCE_MS } = {}) {
    this.#pauseMs = pauseMs;
    this.#patienceMs = patienceMs;
    this.#judge = judge;
  }

  /** Logs in by `login`, or throws the refusal of before, or of who asked at the same time, without asking anybody. */
  async pass<T>(attempt: Attempt, login: () => Promise<T>): Promise<T> {
    const { attended, way, signal } = attempt;
    const key = keyOf(attempt);
    const former = this.#refusals.get(key);
    if (former !== undefined && !attended && performance.now() < former.notBefore) throw former.error;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(this.#patienceMs)]);
    while (!this.#isAccepted(key) && !patience.aborted) {
      const first = this.#firsts.get(key);
      if (first === undefined) return await this.#beFirst(key, way, () => this.#logIn(key, login));
      // Out of patience, or given up: `login` knows how to say the latter.
      const failure = await raceSignal(first, patience).catch(() => undefined);
      if (failure !== undefined && (failure.verdict === 'refused' || failure.way === way)) throw failure.error;
    }
    return await this.#logIn(key, login);
  }

  /** From when on a login that was refused is tried again without a person who asks for it. */
  retryAt(attempt: Pick<Attempt, 'door' | 'presented'>): Date | undefined {
    return this.#refusals.get(keyOf(attempt))?.retryAt;
  }

  #isAccepted(key: string): boolean {
    return performance.now() < (this.#accepted.get(key) ?? 0);
  }

  async #beFirst<T>(key: string, way: string, login: () => Promise<T>): Promise<T> {
    const known = Promise.withResolvers<Failure | undefined>();
    this.#firsts.set(key, known.promise);
    try {
      const result = await login();
      known.resolve(undefined);
      return result;
    } catch (error) {
      const verdict = this.#judge(error);
      known.resolve(verdict === 'none' ? undefined : { error, verdict, way });
      throw error;
    } finally {
      this.#firsts.delete(key);
    }
  }

  async #logIn<T>(key: string, login: () => Promise<T>): Promise<T> {
    try {
      const result = await login();
      this.#forgetOld();
      this.#refusals.delete(key);
      this.#accepted.set(key, performance.now() + this.#pauseMs);
      return result;
    } catch (error) {
      if (this.#judge(error) === 'refused') {
        const notBefore = performance.now() + this.#pauseMs;
        const retryAt = new Date(Date.now() + this.#pauseMs);
        this.#forgetOld();
        this.#refusals.set(key, { error, notBefore, retryAt });
        this.#accepted.delete(key);
      }
      throw error;
    }
  }

  /** What has run out means nothing any more; credentials that are gone are not kept for ever. */
  #forgetOld(): void {
    const now = performance.now();
    for (const [key, { notBefore }] of this.#refusals) if (notBefore < now) this.#refusals.delete(key);
    for (const [key, until] of this.#accepted) if (until < now) this.#accepted.delete(key);
  }
}

function keyOf({ door, presented }: Pick<Attempt, 'door' | 'presented'>): string {
  return `${door} ${createHash('sha256').update(JSON.stringify(presented)).digest('hex')}`;
}
