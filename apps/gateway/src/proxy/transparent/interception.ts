/**
 * The transparent routes of this gateway in the kernel: one nftables table, rewritten whole whenever something changes. It owns that table and
 * the policy routing beside it, from the first route to the last, and takes them away on every way out that lets a process act; after
 * SIGKILL they forward everything (see ruleset.ts) until the next gateway's start or a sweep removes them.
 * Invariant: rules stand only while the session can carry streams; the sets, which claim the address pairs, as long as the routes do. A barrier
 * is raised with its route, and never taken away here (see barrier.ts).
 */
import { GatewayError, messageOf } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Family } from './address-set.ts';
import { raiseBarrier } from './barrier.ts';
import { addPolicyRouting, claimTable, loadTable, removeAll, takenByOthers } from './kernel-state.ts';
import { markOf, type Owner, ourselves, tableOf } from './owner.ts';
import { type RuledRoute, renderTable } from './ruleset.ts';

/** What an end of a route needs of it. */
export interface RouteRules {
  add(route: RuledRoute): void;
  remove(id: string): void;
}

export class Interception implements RouteRules {
  readonly #log: Log;
  readonly #owner: Owner = ourselves();
  readonly #routes = new Map<string, RuledRoute>();
  readonly #routed = new Set<Family>();
  readonly #atExit = () => removeAll(this.#owner);
  #claimed = false;
  #active = false;

  constructor(log: Log) {
    this.#log = log;
  }

  get isActive(): boolean {
    return this.#active;
  }

  /** @throws GatewayError PAIR_IN_USE, INTERCEPTION_FAILED; then nothing has changed */
  add(route: RuledRoute): void {
    const rivals = [...this.#routes.values()].filter(({ end }) => end === route.end);
    for (const rival of rivals) this.#refuseShared(route, rival.set, `route ${rival.id}`);
    this.#routes.set(route.id, route);
    try {
      this.#apply();
      // Ours stands by now: of two gateways that do this at once, at least one sees the other.
      for (const other of takenByOthers(this.#owner)) {
        if (other.end === route.end) this.#refuseShared(route, other.set, `the gateway with pid ${other.owner.pid}`);
      }
      if (route.barrier !== undefined) raiseBarrier(route.barrier, route.id, route.set);
    } catch (error) {
      this.remove(route.id);
      if (error instanceof GatewayError) throw error;
      throw new GatewayError('INTERCEPTION_FAILED', `(${messageOf(error)})`, { cause: error });
    }
  }

  remove(id: string): void {
    if (!this.#routes.delete(id)) return;
    if (this.#routes.size === 0) this.close();
    else this.#attempt();
  }

  /** Whether rules shall stand. */
  setActive(active: boolean): void {
    if (this.#active === active) return;
    this.#active = active;
    if (this.#routes.size === 0) return;
    this.#log.info('interception', { active });
    this.#attempt();
  }

  /** Takes everything away; idempotent. */
  close(): void {
    this.#routes.clear();
    if (!this.#claimed) return;
    removeAll(this.#owner);
    process.off('exit', this.#atExit);
    this.#claimed = false;
    this.#routed.clear();
  }

  #apply(): void {
    if (!this.#claimed) {
      this.#claimed = true;
      process.on('exit', this.#atExit);
      claimTable(this.#owner);
    }
    const routes = [...this.#routes.values()];
    // Before the rules: a marked packet that finds no way to its socket would be lost.
    for (const family of routes.flatMap(({ set }) => set.families())) {
      if (this.#routed.has(family)) continue;
      addPolicyRouting(this.#owner.pid, family);
      this.#routed.add(family);
    }
    loadTable(renderTable(tableOf(this.#owner), markOf(this.#owner.pid), routes, this.#active));
  }

  /** Where nobody waits for the answer: what did not succeed leaves packets forwarded, or asks for a listener that is gone, which is the same. */
  #attempt(): void {
    try {
      this.#apply();
    } catch (error) {
      this.#log.error('the rules of transparent routes could not be changed', { message: messageOf(error) });
    }
  }

  #refuseShared(route: RuledRoute, theirs: RuledRoute['set'], whose: string): void {
    const common = route.set.meets(theirs);
    if (common !== null) throw new GatewayError('PAIR_IN_USE', `(${common}: ${whose})`);
  }
}
