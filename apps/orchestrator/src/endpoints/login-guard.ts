/**
 * Keeps unattended work from locking accounts: a login that was refused is not tried again before a long pause has passed,
 * unless what is presented has changed meanwhile. Most systems lock after three to ten refusals within fifteen to thirty
 * minutes (pam_faillock: 3 in 15). In memory: a process that starts anew may ask once more.
 */
import { createHash } from 'node:crypto';

interface Refusal {
  readonly presented: string;
  readonly error: unknown;
  readonly notBefore: number;
  readonly retryAt: Date;
}

export class LoginGuard {
  readonly #pauseMs: number;
  readonly #refusals = new Map<string, Refusal>();

  constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  /**
   * Logs in by `login`, or throws the refusal of before without asking anybody.
   * @param door what is logged in to; one account, one name
   * @param presented everything the answer depends on; only its digest is kept
   * @param isRefusal tells a refused login from every other failure
   */
  async pass<T>(
    { door, presented, attended }: { door: string; presented: unknown; attended: boolean },
    isRefusal: (error: unknown) => boolean,
    login: () => Promise<T>,
  ): Promise<T> {
    const digest = createHash('sha256').update(JSON.stringify(presented)).digest('hex');
    const former = this.#refusals.get(door);
    const isSame = former?.presented === digest;
    if (isSame && !attended && performance.now() < former.notBefore) throw former.error;
    try {
      const result = await login();
      this.#refusals.delete(door);
      return result;
    } catch (error) {
      if (isRefusal(error)) {
        const notBefore = performance.now() + this.#pauseMs;
        const retryAt = new Date(Date.now() + this.#pauseMs);
        this.#refusals.set(door, { presented: digest, error, notBefore, retryAt });
      }
      throw error;
    }
  }

  /** From when on a login that was refused is tried again without a person who asks for it. */
  retryAt(door: string): Date | undefined {
    return this.#refusals.get(door)?.retryAt;
  }
}
