/**
 * How a subflow that is not needed any more ends without losing a byte. The connector says RETIRE as its last frame; the acceptor answers, and has
 * all by then; with the answer the connector has all as well, and closes the connection. Whatever goes wrong in between is a subflow lost.
 *
 *   connector: open ─▶ due ──RETIRE out──▶ said ──RETIRE in──▶ closed        acceptor: open ──RETIRE in──▶ due ──RETIRE out──▶ said ──▶ closed
 */
import { GatewayError } from '../errors.ts';
import type { Subflow } from './subflow.ts';

export interface RetirementHost {
  /** Puts RETIRE into the batch of the subflow. */
  appendLast(subflow: Subflow): void;
  /** It is not to be used for anything any more. */
  retiring(subflow: Subflow): void;
}

export class Retirement {
  readonly #connector: boolean;
  readonly #host: RetirementHost;

  constructor(connector: boolean, host: RetirementHost) {
    this.#connector = connector;
    this.#host = host;
  }

  /** Safe to repeat. */
  begin(subflow: Subflow): void {
    if (subflow.retireDue || subflow.retireSaid) return;
    subflow.retireDue = true;
    this.#host.retiring(subflow);
    subflow.pump();
  }

  /** The batch of a subflow that is being retired. */
  fill(subflow: Subflow): void {
    if (!subflow.retireDue) return;
    subflow.retireDue = false;
    subflow.retireSaid = true;
    this.#host.appendLast(subflow);
  }

  /** RETIRE has come. Throws FRAME_INVALID. */
  heard(subflow: Subflow): void {
    subflow.retiredByPeer = true;
    if (!this.#connector) this.begin(subflow);
    else if (subflow.retireSaid) subflow.close(new GatewayError('SUBFLOW_LOST', '(retired)'));
    else throw new GatewayError('FRAME_INVALID', '(RETIRE that was not asked for)');
  }
}
