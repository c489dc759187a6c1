/**
 * A login to one vCenter: finds out what it speaks, keeps a session alive, and renews it when it has run out. Answers are checked
 * against the shapes in records.ts where they are used.
 *
 * Our own small client: the npm libraries for vSphere cannot pin a certificate, know neither VI/JSON nor releases after 6.7, or
 * repeat calls by themselves, which a migration must never be.
 *
 * Invariants: a call is sent again only when vSphere has answered that it did not take it (session unknown), when it was never
 * sent, or when it only asks and its connection ended (a server closes idle ones, in the moment of a call as well). A login that was refused is never tried again. Owns its connections and its session; `close` ends both.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, PluginError } from '@lmas/plugin-api';
import type { z } from 'zod';
import type { VmwareConfig } from './config.ts';
import { isFault, toPluginError, VimSilence, withoutSecrets } from './errors.ts';
import { nothingSchema, type ServiceContent, serviceContentSchema, userSessionSchema } from './records.ts';
import { type MethodName, type Parameters, type Ref, refKey } from './wire/data-objects.ts';
import { HttpsChannel, type SeenCertificate } from './wire/https.ts';
import {
  jsonProtocol,
  offeredVersions,
  type Protocol,
  SERVICE_INSTANCE,
  soapProtocol,
  speaksJson,
} from './wire/protocol.ts';
import { chooseVersion, compareVersions, jsonReleaseFor, OLDEST } from './wire/versions.ts';

const CALL_TIMEOUT_MS = 60_000;
const LOGIN_TIMEOUT_MS = 20_000;
const LOGOUT_TIMEOUT_MS = 5_000;
const RENEWALS = 2;
/** They change nothing but the session's own lists of views. */
const QUESTIONS: ReadonlySet<MethodName> = new Set<MethodName>([
  ...(['RetrievePropertiesEx', 'FindByUuid', 'FindAllByUuid', 'HasPrivilegeOnEntities'] as const),
  ...(['CurrentTime', 'CreateContainerView', 'QueryPerf'] as const),
]);
/** A vCenter forgets a session after 30 minutes without a call, unless it is set otherwise. */
const KEEP_ALIVE_MS = 300_000;

export interface Options {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number | undefined;
}

export interface ClientSettings {
  readonly log?: Pick<Logger, 'warn'>;
  /** How long a session goes without a call. */
  readonly keepAliveMs?: number;
}

export interface Login {
  readonly username: string;
  readonly password: string;
}

interface Session {
  /** What the protocol shows with each call. */
  readonly token: string | undefined;
  readonly key: string;
}

export class VimClient {
  readonly #channel: HttpsChannel;
  readonly #config: VmwareConfig;
  readonly #login: Login;
  readonly #log: ClientSettings['log'];
  readonly #keepAliveMs: number;
  readonly #unreadable = new Set<string>();
  readonly #closed = new AbortController();
  readonly #secrets = new Set<string>();
  #protocol: Protocol;
  #content: ServiceContent | undefined;
  #session: Session | undefined;
  #userName: string | undefined;
  #renewing: Promise<void> | undefined;

  private constructor(config: VmwareConfig, login: Login, { log, keepAliveMs = KEEP_ALIVE_MS }: ClientSettings = {}) {
    const trust = { fingerprints: config.tlsFingerprints, ca: config.caCertificate };
    this.#channel = new HttpsChannel(config.host, config.port, trust);
    this.#config = config;
    this.#login = login;
    this.#log = log;
    this.#keepAliveMs = keepAliveMs;
    this.keepSecret(login.password);
    this.#protocol = soapProtocol(this.#channel, OLDEST);
  }

  /** @throws PluginError UNREACHABLE, LOGIN_REFUSED, HOST_KEY_MISMATCH, INVALID_CONFIG */
  static async open(
    config: VmwareConfig,
    login: Login,
    { signal, ...settings }: Options & ClientSettings,
  ): Promise<VimClient> {
    const client = new VimClient(config, login, settings);
    try {
      await client.#meet(signal);
      await client.#renew(signal);
      void client.#keepAlive();
      return client;
    } catch (error) {
      await client.close();
      throw toPluginError(error, `logging in at ${config.host}`);
    }
  }

  /** Stands for a vCenter that could not be logged in to: every question to it ends with `reason`. Connects to nobody. */
  static unreachable(config: VmwareConfig, reason: Error): VimClient {
    const client = new VimClient(config, { username: '', password: '' });
    client.#closed.abort(reason);
    return client;
  }

  /** Aborts when the login is lost for good, with the PluginError as its reason, or when it was closed. */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  get protocol(): Protocol['name'] {
    return this.#protocol.name;
  }

  /** The roots of everything there is. */
  get content(): ServiceContent {
    if (this.#content !== undefined) return this.#content;
    this.#closed.signal.throwIfAborted();
    throw new PluginError('CONNECTION_LOST', 'The vCenter has not been asked yet.');
  }

  /** Whether it was ever spoken to, and so is known for the vCenter that it is. */
  get isMet(): boolean {
    return this.#content !== undefined;
  }

  get host(): string {
    return this.#config.host;
  }

  /** What this vCenter has shown and was believed, for another vCenter that has to believe it. */
  get certificate(): SeenCertificate | undefined {
    return this.#channel.certificate;
  }

  /** As another vCenter has to log in here. A secret: it goes into a call and nowhere else. */
  get login(): Login {
    return this.#login;
  }

  /** From now on it is in no fault that this vCenter answers. */
  keepSecret(secret: string): void {
    if (secret !== '') this.#secrets.add(secret);
  }

  /** A fault as it may be told. */
  discreet(error: unknown): unknown {
    return withoutSecrets(error, this.#secrets);
  }

  /** An object that was left out of an answer, because it cannot be understood: said once. */
  noteUnreadable(object: Ref, reason: string): void {
    const { host } = this;
    if (this.#unreadable.has(refKey(object))) return;
    this.#unreadable.add(refKey(object));
    this.#log?.warn(
      { vCenter: host, object: object.value, reason },
      'an object of the vCenter cannot be read and is left out',
    );
  }

  /** Ours, as tasks name who began them. */
  get userName(): string | undefined {
    return this.#userName;
  }

  get sessionKey(): string | undefined {
    return this.#session?.key;
  }

  /** Which session it is: what belongs to a session (filters, views) is gone with it. */
  get sessionMark(): object | undefined {
    return this.#session;
  }

  /**
   * @throws VimFault with vSphere's answer; VimSilence, after which a call with side effects may have had them
   */
  async call<Method extends MethodName, T>(
    self: Ref,
    method: Method,
    params: Parameters<Method>,
    shape: z.ZodType<T>,
    options: Options,
  ): Promise<T> {
    const value = await this.#callInSession(self, method, params, options);
    const parsed = shape.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new PluginError('HYPERVISOR_FAULT', `${method} answered in an unknown shape: ${parsed.error.message}`);
  }

  async #callInSession<Method extends MethodName>(
    self: Ref,
    method: Method,
    params: Parameters<Method>,
    { signal, timeoutMs = CALL_TIMEOUT_MS }: Options,
  ): Promise<unknown> {
    for (let renewals = 0; ; renewals += 1) {
      this.#closed.signal.throwIfAborted();
      const session = this.#session;
      if (session === undefined) {
        await this.#renew(signal);
        continue;
      }
      try {
        return (await this.#protocol.call(self, method, params, session.token, { signal, timeoutMs })).value;
      } catch (error) {
        if (renewals >= RENEWALS || !mayBeSentAgain(method, error)) throw this.discreet(error);
        if (isFault(error) && this.#session === session) this.#session = undefined;
      }
    }
  }

  /** Who is there, and what it speaks. Needs no login. */
  async #meet(signal: AbortSignal): Promise<void> {
    const options = { signal, timeoutMs: LOGIN_TIMEOUT_MS };
    const version = chooseVersion(await offeredVersions(this.#channel, options));
    this.#protocol = soapProtocol(this.#channel, version);
    const { value } = await this.#protocol.call(SERVICE_INSTANCE, 'RetrieveServiceContent', {}, undefined, options);
    const parsed = serviceContentSchema.safeParse(value);
    if (!parsed.success) throw new VimSilence('not-vsphere', `${this.host} does not say what it is`);
    this.#content = parsed.data;
    this.#assertUsable(parsed.data.about);
    const release = this.#config.protocol === 'soap' ? undefined : jsonReleaseFor(parsed.data.about.apiVersion);
    if (release !== undefined && (await speaksJson(this.#channel, release, options))) {
      this.#protocol = jsonProtocol(this.#channel, release);
    } else if (this.#config.protocol === 'json') {
      throw new PluginError('INVALID_CONFIG', `${this.host} does not speak VI/JSON.`, {
        remedy: 'Leave `protocol` of the endpoint at "auto"; VI/JSON is there from vCenter 8.0 U1 on.',
      });
    }
  }

  #assertUsable({ apiType, apiVersion, fullName }: ServiceContent['about']): void {
    if (apiType !== 'VirtualCenter') {
      throw new PluginError('INVALID_CONFIG', `${this.host} is ${fullName}, no vCenter; vMotion needs one.`, {
        remedy: 'Register the vCenter that manages this host, and name the host in `hosts` of the endpoint.',
      });
    }
    if (compareVersions(apiVersion, OLDEST) < 0) {
      throw new PluginError('INVALID_CONFIG', `${this.host} is ${fullName}; ${OLDEST} is the oldest that can be used.`);
    }
  }

  /** One login at a time, whoever needs it; one who gives up takes it from nobody else. */
  async #renew(signal: AbortSignal): Promise<void> {
    this.#renewing ??= this.#logIn().finally(() => {
      this.#renewing = undefined;
    });
    await unlessAborted(this.#renewing, signal);
  }

  async #logIn(): Promise<void> {
    const { username: userName, password } = this.#login;
    const options = { signal: this.#closed.signal, timeoutMs: LOGIN_TIMEOUT_MS };
    try {
      const params = { userName, password };
      const manager = this.content.sessionManager;
      const { value, session } = await this.#protocol.call(manager, 'Login', params, undefined, options);
      const user = userSessionSchema.parse(value);
      this.#session = { token: session, key: user.key };
      this.#userName = user.userName;
    } catch (error) {
      throw this.#lost(this.discreet(error));
    }
  }

  /** A login that is refused is over: it is never tried again by itself, or the account gets locked. */
  #lost(error: unknown): unknown {
    if (isFault(error)) {
      const refused = toPluginError(error, `${this.host} refuses the login of ${this.#login.username}`);
      if (refused.code === 'LOGIN_REFUSED') this.#closed.abort(refused);
    }
    return error;
  }

  async #keepAlive(): Promise<void> {
    const { signal } = this.#closed;
    const pause = { signal, ref: false };
    while (await sleep(this.#keepAliveMs, true, pause).catch(() => false)) {
      // It renews the session if it must; a vCenter that is silent is found out by whoever needs it.
      await this.call(SERVICE_INSTANCE, 'CurrentTime', {}, nothingSchema, { signal }).catch(() => undefined);
    }
  }

  /** Idempotent; never throws. A vCenter that cannot be reached drops the session by itself. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    this.#closed.abort(new PluginError('CONNECTION_LOST', 'The session was closed.'));
    if (session !== undefined) {
      const options = { signal: AbortSignal.timeout(LOGOUT_TIMEOUT_MS), timeoutMs: LOGOUT_TIMEOUT_MS };
      const { sessionManager } = this.content;
      await this.#protocol.call(sessionManager, 'Logout', {}, session.token, options).catch(() => undefined);
    }
    this.#channel.close();
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

const mayBeSentAgain = (method: MethodName, error: unknown): boolean =>
  wasNotTaken(error) || (QUESTIONS.has(method) && error instanceof VimSilence && error.kind === 'lost');

/** vSphere itself has said that it did not take the call, or the call never left. */
const wasNotTaken = (error: unknown): boolean =>
  isFault(error, 'NotAuthenticated') || (error instanceof VimSilence && error.kind === 'unreachable');
