/** The far end of a redirected route: one address, which it was given. A name is resolved for each dial. */
import type { RouteConfig } from '@lmas/gateway-api';
import { GatewayError } from '../errors.ts';
import type { Endpoints } from '../protocol/payloads.ts';
import { connectTcp } from '../tunnel/connector.ts';
import { wireOf } from '../tunnel/wire.ts';
import { resolveDialAddress } from './addresses.ts';
import type { FarEnd, Target } from './dialer.ts';
import { hypervisorTuning } from './listener.ts';

export class RedirectedEnd implements FarEnd {
  readonly config: Extract<RouteConfig, { kind: 'dial' }>;

  constructor(config: Extract<RouteConfig, { kind: 'dial' }>) {
    this.config = config;
  }

  async start(): Promise<void> {
    await this.#resolve();
  }

  target(endpoints: Endpoints | null): Target {
    // On a redirected route there is nothing for a peer to say about addresses.
    if (endpoints !== null) throw new GatewayError('ENDPOINTS_REFUSED');
    const { port } = this.config;
    return {
      address: '',
      connect: async ({ signal }) => {
        const host = await this.#resolve();
        return wireOf(await connectTcp({ host, port }, 'DIAL_FAILED', { signal }), hypervisorTuning);
      },
    };
  }

  close(): void {
    // Nothing to undo.
  }

  #resolve(): Promise<string> {
    return resolveDialAddress(this.config.host, this.config.allowSpecialAddress);
  }
}
