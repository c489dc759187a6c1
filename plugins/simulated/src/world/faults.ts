/**
 * Faults on command. A call has a name (`kvm-b.finish`); a fault says what happens to the next calls of that name:
 *
 * - `before`: refused, nothing was done;
 * - `after`: done, and an error is answered;
 * - `reply-lost`: done, and the connection breaks before the answer;
 * - `hold-before`, `hold-after`: stands still before or after the effect until released.
 */
import type { PluginErrorCode } from '@lmas/plugin-api';
import { WorldError } from './errors.ts';

export const SCRIPTED_FAULTS = ['before', 'after', 'reply-lost'] as const;
export type FaultKind = (typeof SCRIPTED_FAULTS)[number] | 'hold-before' | 'hold-after';

export interface FaultOptions {
  /** How many calls meet it; Infinity: all. */
  readonly times?: number;
  /** How many calls are let through first. */
  readonly skip?: number;
  /** Only calls about this VM, by id or name. */
  readonly vm?: string | undefined;
  /** What is answered by `before` and `after`. */
  readonly code?: PluginErrorCode;
}

interface Fault extends Required<Omit<FaultOptions, 'times' | 'skip' | 'vm'>> {
  readonly call: string;
  readonly kind: FaultKind;
  readonly vm: string | undefined;
  skipped: number;
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

  arm(call: string, kind: FaultKind, options: FaultOptions = {}): ArmedFault {
    const { times = 1, skip = 0, vm, code = 'HYPERVISOR_FAULT' } = options;
    const fault: Fault = {
      call,
      kind,
      vm,
      code,
      skipped: skip,
      remaining: times,
      reached: Promise.withResolvers<void>(),
      released: Promise.withResolvers<void>(),
    };
    this.#faults.push(fault);
    return { reached: fault.reached.promise, release: () => fault.released.resolve() };
  }

  /** Does `effect` under whatever fault is armed for `call`. `lose` breaks the caller's connection; `vm`: its names. */
  async around<T>(call: string, vm: readonly string[], lose: () => void, effect: () => Promise<T> | T): Promise<T> {
    const isMeant = (fault: Fault) =>
      fault.call === call && fault.remaining > 0 && (fault.vm === undefined || vm.includes(fault.vm));
    const fault = this.#faults.find(isMeant);
    if (fault === undefined) return await effect();
    if (fault.skipped > 0) {
      fault.skipped -= 1;
      return await effect();
    }
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
