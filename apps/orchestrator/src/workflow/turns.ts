/**
 * Lets the runs of a process go on a few at a time, so that hundreds which have something to write at once (they began together,
 * or Redis came back) do not keep the process from answering anybody else: between two turns the event loop looks at everything
 * that has come in. First come, first served; who comes alone does not wait.
 */
export class Turns {
  readonly #perTurn: number;
  readonly #waiting: (() => void)[] = [];
  #left: number;
  #isCounting = false;

  /** @param perTurn how many go on in one turn of the event loop */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
    this.#left = perTurn;
  }

  /** Resolves when it is the caller's turn. */
  next(): Promise<void> {
    if (!this.#isCounting) {
      this.#isCounting = true;
      setImmediate(() => this.#turn());
    }
    if (this.#left > 0) {
      this.#left -= 1;
      return Promise.resolve();
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push(resolve);
    return promise;
  }

  #turn(): void {
    const those = this.#waiting.splice(0, this.#perTurn);
    this.#left = this.#perTurn - those.length;
    this.#isCounting = those.length > 0;
    if (this.#isCounting) setImmediate(() => this.#turn());
    for (const goOn of those) goOn();
  }
}

/** Those of this process, as its event loop is. A write takes about a millisecond of the processor, a call of the API several turns. */
export const turns = new Turns(4);
