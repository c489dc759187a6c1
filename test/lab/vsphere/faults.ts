/**
 * What a test tells an endpoint to do wrong, as data: which calls (method, object, how often, how likely) and what happens to them.
 * Without a rule everything works.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { VimFault } from './fault.ts';
import type { DataObject } from './schema/value.ts';

export interface FaultRule {
  /** Name on the wire, as `RelocateVM_Task`; every call where it is left out. */
  readonly method?: string;
  /** Value of the reference, or name, of the object that is called. */
  readonly object?: string;
  /** The first so many matching calls are left alone. */
  readonly skip?: number;
  /** Then so many are hit; all, where it is left out. */
  readonly times?: number;
  /** 0 to 1, drawn from the endpoint's seeded numbers. */
  readonly probability?: number;
  readonly effect: FaultEffect;
}

export type FaultEffect =
  /** Answered so, and not done. Any published fault. */
  | { readonly kind: 'fault'; readonly fault: FaultSpec }
  /** The call makes its task, and the task ends so, before anything has happened. */
  | { readonly kind: 'task-fault'; readonly fault: FaultSpec }
  /** No answer, never; `done` says whether it was done. */
  | { readonly kind: 'hang'; readonly done: boolean }
  /** The connection is closed instead of an answer; `done` says whether it was done. */
  | { readonly kind: 'drop'; readonly done: boolean }
  /** The connection is closed instead of an answer, and the call is done on `release(name)`, when nobody waits for it any more. */
  | { readonly kind: 'late'; readonly name: string }
  /** The session ends before the call. */
  | { readonly kind: 'expire-session' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** Waits for `release(name)`, before it is done. */
  | { readonly kind: 'hold'; readonly name: string }
  /** An answer of that HTTP status that is no answer of the API. */
  | { readonly kind: 'http'; readonly status: number; readonly body?: string };

export interface FaultSpec {
  readonly name: string;
  readonly fields?: DataObject;
  readonly message?: string;
}

export const faultOf = ({ name, fields, message }: FaultSpec): VimFault => new VimFault(name, fields, message);

interface Counted {
  readonly rule: FaultRule;
  seen: number;
}

export class FaultRules {
  #rules: Counted[] = [];
  #random = 1;

  set(rules: readonly FaultRule[], seed = 1): void {
    this.#rules = rules.map((rule) => ({ rule, seen: 0 }));
    this.#random = seed;
  }

  add(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0 });
  }

  /** Effects on this call, in the order of the rules. */
  on(method: string, object: readonly (string | undefined)[]): FaultEffect[] {
    const effects: FaultEffect[] = [];
    for (const counted of this.#rules) {
      const { rule } = counted;
      if (rule.method !== undefined && rule.method !== method) continue;
      if (rule.object !== undefined && !object.includes(rule.object)) continue;
      const index = counted.seen - (rule.skip ?? 0);
      counted.seen += 1;
      if (index < 0 || index >= (rule.times ?? Number.POSITIVE_INFINITY)) continue;
      if (rule.probability === undefined || this.#draw() < rule.probability) effects.push(rule.effect);
    }
    return effects;
  }

  /** Park and Miller's minimal standard generator: the same seed gives the same faults. */
  #draw(): number {
    this.#random = (this.#random * 48_271) % 2_147_483_647;
    return this.#random / 2_147_483_647;
  }
}

/** Named places where work waits for a test, and the test for the work. */
export class Gates {
  readonly #held = new Map<
    string,
    { readonly open: PromiseWithResolvers<void>; readonly reached: PromiseWithResolvers<void> }
  >();

  /** From now on whatever comes to `name` waits there. @returns resolves when something has come */
  hold(name: string): Promise<void> {
    const gate = this.#held.get(name) ?? {
      open: Promise.withResolvers<void>(),
      reached: Promise.withResolvers<void>(),
    };
    this.#held.set(name, gate);
    return gate.reached.promise;
  }

  release(name: string): void {
    this.#held.get(name)?.open.resolve();
    this.#held.delete(name);
  }

  isHeld(name: string): boolean {
    return this.#held.has(name);
  }

  /** @throws the signal's reason */
  async pass(name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const gate = this.#held.get(name);
    if (gate === undefined) return;
    gate.reached.resolve();
    const aborted = delay(2 ** 31 - 1, undefined, { signal, ref: false }).catch(() => undefined);
    await Promise.race([gate.open.promise, aborted]);
    signal.throwIfAborted();
  }
}
