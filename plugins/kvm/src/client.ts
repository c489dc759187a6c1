/**
 * One authenticated libvirt connection and the questions that are asked of it again and again. Anything rarer goes
 * through `call` with libvirt's own names. Owns its RPC connection.
 */
import type { Duplex } from 'node:stream';
import { PluginError } from '@lmas/plugin-api';
import { isFault, toPluginError } from './errors.ts';
import { RpcConnection } from './rpc/connection.ts';
import { ERROR, FEATURE, JOB } from './rpc/constants.ts';
import type { ArgsOf, Domain, EventBody, EventName, ProcedureName, ResultOf } from './rpc/procedures.ts';
import { EVENTS } from './rpc/procedures.ts';
import type { TypedParam } from './rpc/typed-params.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** VIR_CONNECT_AUTH types. */
const AUTH = { none: 0, sasl: 1, polkit: 2 } as const;

export interface DomainState {
  readonly state: number;
  readonly reason: number;
}

export interface JobStats {
  /** VIR_DOMAIN_JOB_*. */
  readonly type: number;
  readonly params: readonly TypedParam[];
}

/** libvirt's numbers, e.g. 9000000 for 9.0.0. */
export const VERSION_3_3 = 3_003_000;
export const VERSION_5_6 = 5_006_000;
export const VERSION_6_0 = 6_000_000;
export const VERSION_7_2 = 7_002_000;
export const VERSION_8_0 = 8_000_000;
export const VERSION_8_5 = 8_005_000;
export const VERSION_8_9 = 8_009_000;

export function uuidBytes(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  if (bytes.length !== 16) throw new PluginError('INVALID_CONFIG', `${uuid} is not a UUID.`);
  return bytes;
}

export function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

export class LibvirtClient {
  readonly closed: AbortSignal;
  readonly #rpc: RpcConnection;

  private constructor(rpc: RpcConnection) {
    this.#rpc = rpc;
    this.closed = rpc.closed;
  }

  /**
   * Authenticates and opens the QEMU driver.
   * @throws PluginError LOGIN_REFUSED, INCOMPATIBLE (too old a daemon), CONNECTION_LOST, ABORTED
   */
  static async open(stream: Duplex, peer: string, { signal }: Options): Promise<LibvirtClient> {
    const rpc = new RpcConnection(stream, peer);
    try {
      await authenticate(rpc, signal);
      const supports = async (feature: number): Promise<boolean> =>
        (await rpc.call('connectSupportsFeature', { feature }, { signal })).supported !== 0;
      // Asking also starts the daemon's own pings: without them it would keep a dead client's incoming guest for ever.
      if (await supports(FEATURE.keepalive)) rpc.startKeepalive();
      await rpc.call('connectOpen', { name: 'qemu:///system', flags: 0 }, { signal });
      if (!(await supports(FEATURE.migrationParams)) || !(await supports(FEATURE.eventCallbackIds))) {
        throw new PluginError('INCOMPATIBLE', `The libvirt daemon at ${peer} is too old.`, {
          remedy: 'libvirt 1.1.0 or later is needed.',
        });
      }
      return new LibvirtClient(rpc);
    } catch (error) {
      rpc.close();
      throw toPluginError(error, `opening libvirt at ${peer}`);
    }
  }

  /** @throws LibvirtFault, PluginError CONNECTION_LOST, ABORTED, TIMEOUT */
  call<N extends ProcedureName>(name: N, args: ArgsOf<N>, options: Options): Promise<ResultOf<N>> {
    return this.#rpc.call(name, args, options);
  }

  /** `null` is the daemon's own answer that it knows no such domain. */
  async lookup(uuid: string, options: Options): Promise<Domain | null> {
    try {
      return (await this.call('domainLookupByUuid', { uuid: uuidBytes(uuid) }, options)).domain;
    } catch (error) {
      if (isFault(error, ERROR.NO_DOMAIN)) return null;
      throw error;
    }
  }

  async lookupByName(name: string, options: Options): Promise<Domain | null> {
    try {
      return (await this.call('domainLookupByName', { name }, options)).domain;
    } catch (error) {
      if (isFault(error, ERROR.NO_DOMAIN)) return null;
      throw error;
    }
  }

  state(domain: Domain, options: Options): Promise<DomainState> {
    return this.call('domainGetState', { domain, flags: 0 }, options);
  }

  async isPersistent(domain: Domain, options: Options): Promise<boolean> {
    return (await this.call('domainIsPersistent', { domain }, options)).persistent !== 0;
  }

  /** @param flags XML.* */
  async xml(domain: Domain, flags: number, options: Options): Promise<string> {
    return (await this.call('domainGetXmlDesc', { domain, flags }, options)).xml;
  }

  /** The job of a domain; a domain without a process, or one that is receiving, has none that could be read. */
  async jobStats(domain: Domain, flags: number, options: Options): Promise<JobStats> {
    try {
      return await this.call('domainGetJobStats', { domain, flags }, options);
    } catch (error) {
      if (isFault(error, ERROR.OPERATION_INVALID, ERROR.OPERATION_UNSUPPORTED, ERROR.NO_DOMAIN))
        return { type: JOB.none, params: [] };
      throw error;
    }
  }

  /** Of the daemon, as libvirt writes it: 9.0.0 is 9000000. */
  async libvirtVersion(options: Options): Promise<number> {
    return Number((await this.call('connectGetLibVersion', undefined, options)).version);
  }

  /** Subscribes to an event of one domain. Returns how to stop; the daemon forgets it with the connection. */
  async subscribe<N extends EventName>(
    name: N,
    domain: Domain,
    listener: (body: EventBody<N>) => void,
    options: Options,
  ): Promise<() => void> {
    const stop = this.#rpc.on(name, listener);
    await this.call('connectDomainEventCallbackRegisterAny', { eventId: EVENTS[name].id, domain }, options);
    return stop;
  }

  /** What this connection owned at the daemon, an incoming guest above all, ends with it. Idempotent. */
  close(): void {
    this.#rpc.close();
  }
}

async function authenticate(rpc: RpcConnection, signal: AbortSignal): Promise<void> {
  const { types } = await rpc.call('authList', undefined, { signal });
  if (types.length === 0 || types.includes(AUTH.none)) return;
  if (types.includes(AUTH.polkit)) {
    const { complete } = await rpc.call('authPolkit', undefined, { signal });
    if (complete !== 0) return;
  }
  throw new PluginError('LOGIN_REFUSED', 'libvirt wants an authentication that we do not speak.', {
    remedy: "Log in as root, or as a member of the group that owns libvirt's socket.",
  });
}
