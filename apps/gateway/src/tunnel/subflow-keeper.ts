/**
 * Keeps as many subflows as serve both ends best. Each end finds out how many it would like for what it sends (see subflow-count.ts); the
 * acceptor tells the connector, and the connector joins and retires them, within its own limits. Owns nothing; asked once in a while.
 */
import { decodeSubflows } from '../protocol/handshake.ts';
import type { DataChannel } from './data-channel.ts';

export interface SubflowKeeperHost {
  /** At the connector: so many are to be kept joined. */
  join(count: number): void;
  /** At the acceptor: the connector should know. */
  tell(count: number): void;
}

export class SubflowKeeper {
  readonly #data: DataChannel;
  readonly #connector: boolean;
  readonly #host: SubflowKeeperHost;
  #wantedByPeer = 1;
  #said = 0;

  constructor(data: DataChannel, connector: boolean, host: SubflowKeeperHost) {
    this.#data = data;
    this.#connector = connector;
    this.#host = host;
  }

  /** By this end; by both, where this one joins them. */
  get wanted(): number {
    const { wanted, isInformed, range } = this.#data.sender.subflowCount;
    if (!this.#connector) return isInformed ? wanted : 1;
    return Math.min(range.max, Math.max(wanted, this.#wantedByPeer));
  }

  /** A SUBFLOWS message of the acceptor. */
  heard(body: Buffer): void {
    this.#wantedByPeer = decodeSubflows(body);
  }
  /** Nothing has been said on this control channel. */
  startOver(): void {
    this.#said = 0;
    this.keep();
  }

  /** Once in a while. */
  keep(): void {
    const { wanted } = this;
    if (wanted !== this.#said) {
      this.#said = wanted;
      if (this.#connector) this.#host.join(wanted);
      else this.#host.tell(wanted);
    }
    if (!this.#connector) return;
    for (const subflow of this.#data.subflows) if (subflow.id >= wanted) this.#data.retire(subflow);
  }
}
