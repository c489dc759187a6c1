/**
 * A pair of hosts, as the tests of the workflow want it, with two gateway machines beside them: the gateways exist in the
 * world only, so that what is left over can be counted. It lives in the test's own process, and survives an orchestrator
 * that is killed.
 */
import { type Call, World, WorldError } from '@lmas/plugin-simulated/world';

export type HostName = 'source' | 'destination';

export interface SimulatedGateway {
  token: number;
  configured: boolean;
  routes: Set<string>;
  bandwidthBytesPerSec: number | null;
  configuredAtMs?: number;
}

/** So fast that a gibibyte takes some 50 ms. */
const RATE_BYTES_PER_SEC = 20 * 2 ** 30;

export class PairWorld extends World {
  /** `<site>/<owner>-<end>` of every gateway process there is. */
  readonly gateways = new Map<string, SimulatedGateway>();
  /** Names of those that stand. They outlive the gateways that raise them. */
  readonly barriers = new Set<string>();
  /** What each tunnel says that it has delivered; a site that carries more says more. */
  deliveredBytes = 0;
  /** What the gateways of a site say to receive, in bytes per second since they were configured. */
  readonly carries = new Map<string, number>();

  constructor() {
    super();
    this.rates.set('source', RATE_BYTES_PER_SEC);
  }

  /** As when it was told to end, or somebody killed it. */
  endGateway(name: string): void {
    this.gateways.delete(name);
    this.changed();
  }

  override changeSetting(vmId: string, isChanged: boolean): void {
    super.changeSetting(vmId, isChanged);
    this.#assertBehindBarriers();
  }

  /** What is in the clear stands between two barriers. */
  #assertBehindBarriers(): void {
    for (const vmId of this.changedSettings) {
      if (this.barriers.size < 2) this.violations.push({ vmId, what: 'its traffic could pass in the clear' });
    }
  }

  /** What the simulated provisioner asks; the "host" of these calls is `gateway`. For `serveWorld`. */
  readonly answerGatewayCall = ({ host, verb, args }: Call): unknown => {
    if (host !== 'gateway' || verb === 'login') return undefined;
    const name = String(args.name);
    const gateway = this.gateways.get(name);
    const token = Number(args.token);
    if (gateway !== undefined && Number.isFinite(token)) {
      if (token < gateway.token) throw new WorldError('STALE_TOKEN', 'A newer run has this gateway.');
      gateway.token = token;
    }
    switch (verb) {
      case 'start':
        this.gateways.set(name, { token, configured: false, routes: new Set(), bandwidthBytesPerSec: null });
        return null;
      case 'attach':
        return gateway !== undefined;
      case 'remove':
        this.endGateway(name);
        return null;
      case 'barrier':
        this.barriers.delete(name);
        this.#assertBehindBarriers();
        return null;
      case 'ended':
        return this.until(() => !this.gateways.has(name)).then(() => null);
      case 'list':
        return [...this.gateways.keys()].filter((key) => key.startsWith(`${args.site}/`));
    }
    if (gateway === undefined) throw new WorldError('GATEWAY_ENDED', `There is no gateway ${name}.`);
    return this.#atGateway(gateway, verb, args);
  };

  #deliveredBy({ configuredAtMs }: SimulatedGateway, name: string): { deliveredBytes: number; receivingMs: number } {
    const bytesPerSec = this.carries.get(name.replace(/\/.*/, '')) ?? 0;
    const receivingMs = bytesPerSec === 0 || configuredAtMs === undefined ? 0 : Date.now() - configuredAtMs;
    return { deliveredBytes: this.deliveredBytes + Math.round((bytesPerSec * receivingMs) / 1_000), receivingMs };
  }

  #atGateway(gateway: SimulatedGateway, verb: string, args: Call['args']): unknown {
    const limit = typeof args.bandwidthBytesPerSec === 'number' ? args.bandwidthBytesPerSec : null;
    switch (verb) {
      case 'configure':
        gateway.configured = true;
        gateway.configuredAtMs = Date.now();
        gateway.bandwidthBytesPerSec = limit;
        return null;
      case 'limits':
        gateway.bandwidthBytesPerSec = limit;
        return null;
      case 'route':
        gateway.routes.add(String(args.route));
        if (typeof args.barrier === 'string') this.barriers.add(args.barrier);
        return null;
      case 'status':
        return { configured: gateway.configured, ...this.#deliveredBy(gateway, String(args.name)) };
      case 'lease':
        return null;
      default:
        throw new WorldError('HYPERVISOR_FAULT', `Unknown verb ${verb}.`);
    }
  }
}
