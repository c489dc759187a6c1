/**
 * A login to a pool: finds the coordinator, keeps a session, renews it when it has run out, and follows the pool when another
 * member becomes coordinator. Answers are checked against the shapes in records.ts where they are used.
 *
 * Our own small client and not the npm library `xen-api`: that one cannot pin a certificate, keeps a cache of every object
 * of the pool, and repeats calls by itself, which a migration must never be.
 *
 * Invariant: a call is sent again only when XAPI has answered that it did not take it (session unknown, not the coordinator),
 * or when it was never sent. After any other silence the next call looks for the coordinator anew, the silent member last: one that has
 * died tells nobody. Owns its connections and its sessions; `close` ends both.
 */
import { PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { XenConfig } from './config.ts';
import { isFault, toPluginError, XapiSilence } from './errors.ts';
import { NULL_REF } from './records.ts';
import { type Address, callJsonRpc } from './wire/json-rpc.ts';
import { PinningAgent } from './wire/tls.ts';

const API_VERSION = '1.1';
const ORIGINATOR = 'lmas';
const CALL_TIMEOUT_MS = 60_000;
const LOGIN_TIMEOUT_MS = 20_000;
const LOGOUT_TIMEOUT_MS = 5_000;
const KNOCK_TIMEOUT_MS = 5_000;
/** A coordinator names the next one; more hops than this are a circle. */
const MAX_REDIRECTS = 3;
const RENEWALS = 2;
/** Sessions that were left and may live on, at a pool that is slow: more than these it drops by itself. */
const MAX_LEFT = 16;

interface Options {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number | undefined;
  /**
   * A call in which this pool talks to another one, and passes that one's faults on as its own: then "session unknown" and "not the
   * coordinator" may be about the other pool. It must be one without side effects, for it may be sent again.
   */
  readonly passesOn?: boolean | undefined;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

export class XapiClient {
  readonly #agent: PinningAgent;
  readonly #login: Login;
  readonly #port: number;
  /** Where a coordinator has been or may come up, most likely first. */
  readonly #members: string[];
  readonly #closed = new AbortController();
  /** Sessions that were given up for a silence, and are ended in the end. */
  readonly #left: string[] = [];
  #session: { readonly ref: string; readonly address: Address } | undefined;
  #renewing: Promise<void> | undefined;

  private constructor(config: XenConfig, login: Login) {
    this.#agent = new PinningAgent({ fingerprints: config.tlsFingerprints, ca: config.caCertificate });
    this.#login = login;
    this.#port = config.port;
    this.#members = [...new Set([config.host, ...config.otherMembers])];
  }

  /** @throws PluginError UNREACHABLE, LOGIN_REFUSED, HOST_KEY_MISMATCH, INVALID_CONFIG */
  static async open(config: XenConfig, login: Login, options: Options): Promise<XapiClient> {
    const client = new XapiClient(config, login);
    try {
      await client.#renew(options);
      return client;
    } catch (error) {
      await client.close();
      throw toPluginError(error, `logging in at ${config.host}`);
    }
  }

  /** Stands for a pool that could not be logged in to: every question to it ends with `reason`. Connects to nobody. */
  static unreachable(config: XenConfig, reason: Error): XapiClient {
    const client = new XapiClient(config, { username: '', password: '' });
    client.#closed.abort(reason);
    return client;
  }

  /** Aborts when the login is lost for good, with the PluginError as its reason, or when it was closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** The coordinator's address, as it was reached last. */
  get coordinator(): string {
    return this.#session?.address.host ?? this.#members[0] ?? '';
  }

  /** Another object after each login: what an answer was built on is forgotten with it. */
  get login(): object | undefined {
    return this.#session;
  }

  /** Addresses of members that may become coordinator, so that they can be found when this one dies. */
  rememberMembers(addresses: readonly string[]): void {
    for (const address of addresses)
      if (address !== '' && !this.#members.includes(address)) this.#members.push(address);
  }

  /**
   * Calls `method` with the session as its first parameter.
   * @throws XapiFault with XAPI's answer; XapiSilence, after which a call with side effects may have had them
   */
  async call<T>(method: string, params: readonly unknown[], shape: z.ZodType<T>, options: Options): Promise<T> {
    const result = await this.#callWithSession(method, params, options);
    const parsed = shape.safeParse(result);
    if (parsed.success) return parsed.data;
    throw new PluginError('HYPERVISOR_FAULT', `${method} answered in an unknown shape: ${parsed.error.message}`);
  }

  async #callWithSession(method: string, params: readonly unknown[], options: Options): Promise<unknown> {
    for (let renewals = 0; ; renewals += 1) {
      this.#closed.signal.throwIfAborted();
      const session = this.#session;
      if (session === undefined) {
        await this.#renew(options);
        continue;
      }
      try {
        const { signal, timeoutMs = CALL_TIMEOUT_MS } = options;
        return await callJsonRpc(this.#agent, session.address, method, [session.ref, ...params], { signal, timeoutMs });
      } catch (error) {
        if (error instanceof XapiSilence) this.#leave(session);
        if (renewals >= RENEWALS || !wasNotTaken(error)) throw error;
        if (isFault(error) && options.passesOn === true) {
          if (await this.#standsStill(session, options)) throw error;
          continue;
        }
        if (isFault(error, 'HOST_IS_SLAVE')) this.#preferMember(error.params[0]);
        if (this.#session === session) this.#session = undefined;
      }
    }
  }

  /** That member may be dead, or be coordinator no more: the others are asked first. */
  #leave(session: { readonly ref: string; readonly address: Address }): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#left.push(session.ref);
    if (this.#left.length > MAX_LEFT) this.#left.shift();
    const { host } = session.address;
    const others = this.#members.filter((member) => member !== host);
    this.#members.splice(0, this.#members.length, ...others, host);
  }

  /** Asks a question of this pool alone. When the session serves for it as before, no fault was about it. */
  async #standsStill(session: unknown, { signal }: Options): Promise<boolean> {
    await this.#callWithSession('pool.get_all', [], { signal });
    return this.#session === session;
  }

  /**
   * Whether that member answers, and is trusted. It is asked with a session that nobody has: no password goes there.
   * @throws XapiSilence
   */
  async knock(host: string, { signal }: Options): Promise<void> {
    this.#closed.signal.throwIfAborted();
    const options = { signal, timeoutMs: KNOCK_TIMEOUT_MS };
    await callJsonRpc(this.#agent, { host, port: this.#port }, 'pool.get_all', [NULL_REF], options).catch((error) => {
      if (!isFault(error)) throw error;
    });
  }

  /** One login at a time, whoever needs it; one who gives up takes it from nobody else. */
  async #renew({ signal }: Options): Promise<void> {
    this.#renewing ??= this.#logIn({ signal: this.#closed.signal }).finally(() => {
      this.#renewing = undefined;
    });
    await unlessAborted(this.#renewing, signal);
  }

  /** Asks each member that is known; a wrong password is wrong everywhere and is tried once. */
  async #logIn(options: Options): Promise<void> {
    let silence: unknown;
    const asked = new Set<string>();
    for (let host = this.#members[0]; host !== undefined; host = this.#members.find((member) => !asked.has(member))) {
      try {
        this.#session = await this.#logInAt(host, asked, options);
        this.#preferMember(this.#session.address.host);
        return;
      } catch (error) {
        if (!isNobodyThere(error)) throw this.#lost(error);
        silence ??= error;
      }
    }
    throw silence;
  }

  /** @param asked also those that were named as coordinator: one that is silent is waited for once */
  async #logInAt(host: string, asked: Set<string>, { signal }: Options): Promise<{ ref: string; address: Address }> {
    let address: Address = { host, port: this.#port };
    for (let redirects = 0; ; redirects += 1) {
      asked.add(address.host);
      try {
        const { username, password } = this.#login;
        const params = [username, password, API_VERSION, ORIGINATOR];
        const options = { signal, timeoutMs: LOGIN_TIMEOUT_MS };
        const ref = await callJsonRpc(this.#agent, address, 'session.login_with_password', params, options);
        return { ref: String(ref), address };
      } catch (error) {
        const coordinator = isFault(error, 'HOST_IS_SLAVE') ? error.params[0] : undefined;
        if (coordinator === undefined || redirects >= MAX_REDIRECTS) throw error;
        if (asked.has(coordinator)) {
          throw new XapiSilence('unreachable', `${host} calls ${coordinator} the coordinator, which was asked before`);
        }
        address = { host: coordinator, port: this.#port };
      }
    }
  }

  /** A login that XAPI refuses is over: it is never tried again by itself, or the account gets locked. */
  #lost(error: unknown): unknown {
    if (isFault(error, 'SESSION_AUTHENTICATION_FAILED')) {
      this.#closed.abort(
        new PluginError('LOGIN_REFUSED', `${this.coordinator} refuses the login of ${this.#login.username}`, {
          cause: error,
        }),
      );
    }
    return error;
  }

  #preferMember(host: string | undefined): void {
    if (host === undefined || host === '') return;
    const others = this.#members.filter((member) => member !== host);
    this.#members.splice(0, this.#members.length, host, ...others);
  }

  /**
   * Ends any session of this pool, by default our own: also one that XAPI made for a migration. A pool that cannot be
   * reached drops it by itself, after a day without use. Never throws; answers whether the pool said that it has ended.
   */
  async logOut(sessionRef = this.#session?.ref): Promise<boolean> {
    if (this.#session === undefined && sessionRef !== undefined && !this.#closed.signal.aborted) {
      await this.#renew({ signal: AbortSignal.timeout(LOGIN_TIMEOUT_MS) }).catch(() => undefined);
    }
    const address = this.#session?.address;
    if (address === undefined || sessionRef === undefined) return false;
    const options = { signal: AbortSignal.timeout(LOGOUT_TIMEOUT_MS), timeoutMs: LOGOUT_TIMEOUT_MS };
    return await callJsonRpc(this.#agent, address, 'session.logout', [sessionRef], options).then(
      () => true,
      (error: unknown) => isFault(error, 'SESSION_INVALID'),
    );
  }

  /** Idempotent; never throws. */
  async close(): Promise<void> {
    this.#closed.abort(new PluginError('CONNECTION_LOST', 'The session was closed.'));
    await Promise.all([this.logOut(), ...this.#left.map((ref) => this.logOut(ref))]);
    this.#session = undefined;
    this.#agent.destroy();
  }
}

async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** XAPI itself has said that it did not take the call, or the call never left. */
const wasNotTaken = (error: unknown): boolean =>
  isFault(error, 'SESSION_INVALID', 'HOST_IS_SLAVE') || (error instanceof XapiSilence && error.kind === 'unreachable');

/** Nothing was decided there: another member may know. One that still starts is coordinator no more, or not yet. */
const isNobodyThere = (error: unknown): boolean => error instanceof XapiSilence || isFault(error, 'HOST_STILL_BOOTING');
