/**
 * Renews the lease of one gateway in the background, from its start until closed: a gateway that nobody keeps ends by
 * itself. A renewal that fails is tried again; only the gateway decides that its lease is over.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../log.ts';
import type { Gateway } from './gateway.ts';

export class LeaseKeeper implements AsyncDisposable {
  readonly #closing = new AbortController();
  readonly #loop: Promise<void>;

  constructor(gateway: Gateway, leaseMs: number, log: Logger) {
    this.#loop = this.#renew(gateway, leaseMs, log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#loop;
  }

  async #renew(gateway: Gateway, leaseMs: number, log: Logger): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      const once = AbortSignal.any([signal, AbortSignal.timeout(leaseMs / 2)]);
      await gateway.renewLease(leaseMs, { signal: once }).catch((error: unknown) => {
        if (!signal.aborted) log.warn({ err: error, ...gateway.address }, 'the gateway’s lease could not be renewed');
      });
      await sleep(leaseMs / 4, undefined, { signal }).catch(() => undefined); // closing ends the loop
    }
  }
}
