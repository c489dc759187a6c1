/**
 * A login to a pool: finds the coordinator, keeps a session, renews it when it has run out, and follows the pool when another
 * member becomes coordinator. Answers are checked against the shapes in records.ts where they are used.
 *
 * Our own small client and not the npm library `xen-api`: that one cannot pin a certificate, keeps a cache of every object
 * of the pool, and repeats calls by itself, which a migration must never be.
 *
 * Invariant: a call is sent again only when XAPI has answered that it did not take it (session unknown, not the coordinator),
 * or when it was never sent. After any other silence the next call looks for the coordinator anew, the silent member last: one that has
 * died tells nobody. A member that is not trusted gets no password, and stands in nobody's way. Owns its connections and its sessions; `close`
 * ends both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PluginError, pluginErrorCode } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { XenConfig } from './config.ts';
import { isFault, toPluginError, XapiSilence } from './errors.ts';
import { Members } from './members.ts';
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
/** A name that is not looked up in this time stays a name. */
const LOOK_UP_MS = 2_000;
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

interface Session {
  readonly ref: string;
  readonly address: Address;
}

export class XapiClient {
  readonly #agent: PinningAgent;
  readonly #login: Login;
  readonly #port: number;
  /** Where a coordinator has been or may come up. */
  readonly #members: Members;
  readonly #closed = new AbortController();
  /** Sessions that were given up for a silence, and are ended with the next login, or in the end. */
  readonly #left: Session[] = [];
  /** Moves under way: XAPI may go on under the caller's own session, so while there is one no session is ended. */
  #keepers = 0;
  #session: Session | undefined;
  #ending: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;

  private constructor(config: XenConfig, login: Login) {
    this.#agent = new PinningAgent({ fingerprints: config.tlsFingerprints, ca: config.caCertificate });
    this.#login = login;
    this.#port = config.port;
    this.#members = new Members([config.host, ...config.otherMembers]);
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
    return this.#session?.address.host ?? this.#members.first;
  }

  /** Another object after each login: what an answer was built on is forgotten with it. */
  get login(): object | undefined {
    return this.#session;
  }

  /** Addresses of members that may become coordinator, so that they can be found when this one dies. */
  rememberMembers(addresses: readonly string[]): void {
    for (const address of addresses) this.#members.add(address);
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
        if (isFault(error, 'HOST_IS_SLAVE')) this.#members.prefer(error.params[0] ?? '');
        if (this.#session === session) this.#session = undefined;
      }
    }
  }

  /** That member may be dead, or be coordinator no more: the others are asked first. */
  #leave(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    this.#left.push(session);
    if (this.#left.length > MAX_LEFT) this.#left.shift();
    this.#members.putLast(session.address.host);
  }

  /**
   * Until `release` no session of ours is ended: `VM.pool_migrate` of a guest at the coordinator passes the caller's own on to the receiving host
   * (xapi_vm_migrate.ml; for other members XAPI makes one). One that is closed meanwhile leaves it to the pool, which drops it a day after its
   * last use.
   */
  keepSessions(): { readonly release: () => void } {
    this.#keepers += 1;
    let released = false;
    return {
      release: () => {
        if (released) return;
        released = true;
        this.#keepers -= 1;
        if (this.#keepers === 0 && !this.#closed.signal.aborted) this.#ending = this.#endLeft();
      },
    };
  }

  /** A pool that has forgotten them, or hears nothing, drops them by itself. Never throws. */
  async #endLeft(): Promise<void> {
    if (this.#keepers > 0) return;
    const options = { signal: AbortSignal.timeout(LOGOUT_TIMEOUT_MS), timeoutMs: LOGOUT_TIMEOUT_MS };
    await Promise.all(
      this.#left.splice(0).map((session) =>
        callJsonRpc(this.#agent, session.address, 'session.logout', [session.ref], options).catch((error: unknown) => {
          if (!isFault(error)) this.#left.push(session);
        }),
      ),
    );
  }

  /** Asks a question of this pool alone. When the session serves for it as before, no fault was about it. */
  async #standsStill(session: unknown, { signal }: Options): Promise<boolean> {
    await this.#callWithSession('pool.get_all', [], { signal });
    return this.#session === session;
  }

  /**
   * Whether that member answers, and is trusted, under the name that the settings give it, if they do. It is asked with a session that
   * nobody has: no password goes there.
   * @throws XapiSilence
   */
  async knock(host: string, { signal }: Options): Promise<void> {
    this.#closed.signal.throwIfAborted();
    const options = { signal, timeoutMs: KNOCK_TIMEOUT_MS };
    const address = { host: this.#members.nameOf(host), port: this.#port };
    await callJsonRpc(this.#agent, address, 'pool.get_all', [NULL_REF], options).catch((error) => {
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
    let stranger: unknown;
    const asked = new Map<string, unknown>();
    const lookedUp = Promise.race([this.#members.lookUp(), sleep(LOOK_UP_MS, undefined, { ref: false })]);
    for (let host = this.#members.next(asked); host !== undefined; host = this.#members.next(asked)) {
      try {
        this.#session = await this.#logInAt(host, asked, lookedUp, options);
        this.#members.prefer(this.#session.address.host);
        this.#ending = this.#endLeft();
        return;
      } catch (error) {
        if (isStranger(error)) stranger ??= error;
        else if (isNobodyThere(error)) silence ??= error;
        else throw this.#lost(error);
      }
      await lookedUp;
    }
    throw silence === undefined ? stranger : withBoth(silence, stranger);
  }

  /** @param asked also those that were named as coordinator, with what came of it: one that is silent is waited for once */
  async #logInAt(
    host: string,
    asked: Map<string, unknown>,
    lookedUp: Promise<void>,
    { signal }: Options,
  ): Promise<Session> {
    let address: Address = { host, port: this.#port };
    for (let redirects = 0; ; redirects += 1) {
      asked.set(address.host, undefined);
      try {
        const { username, password } = this.#login;
        const params = [username, password, API_VERSION, ORIGINATOR];
        const options = { signal, timeoutMs: LOGIN_TIMEOUT_MS };
        const ref = await callJsonRpc(this.#agent, address, 'session.login_with_password', params, options);
        return { ref: String(ref), address };
      } catch (error) {
        asked.set(address.host, error);
        const named = isFault(error, 'HOST_IS_SLAVE') ? error.params[0] : undefined;
        if (named === undefined || redirects >= MAX_REDIRECTS) throw error;
        await lookedUp;
        const coordinator = this.#members.nameOf(named);
        if (asked.has(coordinator)) {
          const before = asked.get(coordinator);
          if (isStranger(before)) throw before;
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
    await Promise.all([this.#keepers > 0 ? undefined : this.logOut(), this.#ending, this.#endLeft()]);
    this.#session = undefined;
    this.#agent.destroy();
  }
}

/** Waits for what others wait for as well; who gives up stops nothing. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  const stop = (): void => stopped.reject(signal.reason);
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** XAPI itself has said that it did not take the call, or the call never left. */
const wasNotTaken = (error: unknown): boolean =>
  isFault(error, 'SESSION_INVALID', 'HOST_IS_SLAVE') || (error instanceof XapiSilence && error.kind === 'unreachable');

/** Nothing was decided there: another member may know. One that still starts is coordinator no more, or not yet. */
const isNobodyThere = (error: unknown): boolean => error instanceof XapiSilence || isFault(error, 'HOST_STILL_BOOTING');

/** The one that is silent may be coordinator, and answer again: who waits for it goes on waiting, and learns who else was there. */
const withBoth = (silence: unknown, stranger: unknown): unknown =>
  silence instanceof XapiSilence && stranger instanceof PluginError
    ? new XapiSilence(silence.kind, `${silence.message}; ${stranger.message}`, {
        cause: stranger,
        remedy: silence.remedy,
      })
    : silence;

/** Whoever answers there has seen no password, and what it is says nothing of the others. */
const isStranger = (error: unknown): boolean => pluginErrorCode(error) === 'HOST_KEY_MISMATCH';
