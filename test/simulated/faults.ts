/**
 * Faults on command. A call has a name (`destination.finish`); a fault says what happens to the next calls of that name:
 *
 * - `before`: refused, nothing was done;
 * - `after`: done, and an error is answered;
 * - `reply-lost`: done, and the connection breaks before the answer;
 * - `hold-before`, `hold-after`: stands still before or after the effect until released.
 */
export type FaultKind = 'before' | 'after' | 'reply-lost' | 'hold-before' | 'hold-after';

/** A call that the world refuses; the code is one of the plugin contract's. */
export class WorldError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

interface Fault {
  readonly call: string;
  readonly kind: FaultKind;
  /** What is answered, in the plugin contract's codes. */
  readonly code: string;
  remaining: number;
  readonly reached: PromiseWithResolvers<void>;
  readonly released: PromiseWithResolvers<void>;
}

export interface ArmedFault {
  /** Resolves when a call has met it (for `hold-after`: when the effect is done). */
  readonly reached: Promise<void>;
  release(): void;
}

export class Faults {
  readonly #faults: Fault[] = [];

  arm(call: string, kind: FaultKind, { times = 1, code = 'HYPERVISOR_FAULT' } = {}): ArmedFault {
    const fault: Fault = {
      call,
      kind,
      code,
      remaining: times,
      reached: Promise.withResolvers<void>(),
      released: Promise.withResolvers<void>(),
    };
    this.#faults.push(fault);
    return { reached: fault.reached.promise, release: () => fault.released.resolve() };
  }

  /** Does `effect` under whatever fault is armed for `call`. `lose` breaks the caller's connection. */
  async around<T>(call: string, lose: () => void, effect: () => Promise<T> | T): Promise<T> {
    const fault = this.#faults.find((candidate) => candidate.call === call && candidate.remaining > 0);
    if (fault === undefined) return await effect();
    fault.remaining -= 1;
    if (fault.kind === 'before') {
      fault.reached.resolve();
      throw new WorldError(fault.code, `fault before ${call}`);
    }
    if (fault.kind === 'hold-before') {
      fault.reached.resolve();
      await fault.released.promise;
    }
    const result = await effect();
    fault.reached.resolve();
    if (fault.kind === 'hold-after') await fault.released.promise;
    if (fault.kind === 'after') throw new WorldError(fault.code, `fault after ${call}`);
    if (fault.kind === 'reply-lost') lose();
    return result;
  }
}
