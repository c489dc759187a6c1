/**
 * The writes that a run was told are kept. Each answer counts as one, for two that were under way together at a fail-over
 * may get the same number; and the number counts, for one that was sent again is counted twice by Redis.
 */
export class WriteCount {
  #answered: number;
  #highest: number;

  constructor(atClaim: number) {
    this.#answered = atClaim;
    this.#highest = atClaim;
  }

  get known(): number {
    return Math.max(this.#answered, this.#highest);
  }

  add(answer: string | undefined): void {
    this.#answered += 1;
    this.#highest = Math.max(this.#highest, Number(answer ?? 0));
  }
}
