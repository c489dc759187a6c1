/**
 * Who the subflows of a channel are, what each may carry, and whose turn it is. The first ones are lanes: kept free of bulk, for what is small
 * and must not wait. Every small frame goes over all lanes, so that neither a lost packet nor a pause of one holds it up. A lane that lost a packet
 * brings nothing for a round trip: on long paths a second one often loses its own meanwhile, a third one hardly ever.
 * Invariant: lanes and carriers together are all subflows that are not being retired.
 */
import type { Allowed } from './scheduler.ts';
import type { Subflow } from './subflow.ts';

/** From so many subflows on there is a first lane, a second, and a third. */
const lanesFrom = [3, 4, 6] as const;

/**
 * BBR pauses when it has seen no shorter round trip for ten seconds: 200 ms and a round trip, as a rule on all subflows at the same time, and the
 * link stands idle. What it would find out, how long round trips are without a queue, the session knows and keeps to while it paces. Started
 * anew, BBR begins with the window and round trip that it has, and its ten seconds begin as well.
 */
const renewAfterMs = 6_500;
const renewSpreadMs = 2_000;
/** Within one data centre. */
const shortPathMs = 1;

export class SubflowTable {
  /** By number; those being retired too. */
  readonly all: Subflow[] = [];
  lanes: readonly Subflow[] = [];
  #carriers: readonly Subflow[] = [];
  #turn = 0;
  #renewedAtMs = 0;

  add(subflow: Subflow): void {
    this.all.push(subflow);
    this.all.sort((a, b) => a.id - b.id);
    this.arrange();
  }
  remove(subflow: Subflow): void {
    const place = this.all.indexOf(subflow);
    if (place >= 0) this.all.splice(place, 1);
    this.arrange();
  }
  /** Somebody came, went, or is being retired. */
  arrange(): void {
    const useful = this.all.filter((subflow) => !subflow.isRetiring);
    const lanes = lanesFrom.filter((subflows) => useful.length >= subflows).length;
    this.lanes = useful.slice(0, lanes);
    this.#carriers = useful.slice(lanes);
  }

  /**
   * Lets those that carry bulk take more, until it is enough: another one first each time, so that all stay at speed. On a path so short that one
   * is at speed at once, always in the same order: then few carry all, from few buffers, which stay in the processor's caches.
   */
  pumpCarriers(minRttMs: number | null, isEnough: () => boolean): void {
    const carriers = this.#carriers; // pumping may end one: then there is another array
    const isShort = minRttMs !== null && minRttMs < shortPathMs;
    this.#turn = isShort ? 0 : (this.#turn + 1) % Math.max(1, carriers.length);
    for (let step = 0; step < carriers.length && !isEnough(); step += 1)
      carriers[(this.#turn + step) % carriers.length]?.pump();
  }

  allowed(subflow: Subflow): Allowed {
    const isLane = this.lanes.includes(subflow);
    const isCarrier = this.#carriers.includes(subflow);
    return {
      quick: isLane || (isCarrier && this.lanes.length === 0),
      bulk: isCarrier,
      lanes: isLane ? this.lanes.length : 0,
    };
  }

  /**
   * Before BBR pauses, whoever is due; never two at once, because each takes a round trip to be at speed again. Lanes always: they fill nothing.
   * Those that carry bulk only while the session itself keeps the queue short: else it is BBR's business, and others' on the same link.
   */
  renewControls(nowMs: number, paced: boolean): void {
    if (nowMs - this.#renewedAtMs < renewSpreadMs / this.all.length) return;
    const renewed = paced ? this.all : this.lanes;
    const due = renewed.find((subflow) => nowMs - subflow.controlledAtMs > renewAfterMs && !subflow.isRetiring);
    if (due === undefined) return;
    this.#renewedAtMs = nowMs;
    due.renewControl();
  }
}
