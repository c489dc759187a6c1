/**
 * SSH connections to gateway machines, one per site, shared by whoever needs it and closed when nobody has for a while.
 * None is made for one caller alone: a caller that gives up stops waiting, and the others get their connection.
 * It owns every connection; a broken one, or one whose site was registered anew, is replaced on the next use.
 */
import { connectSsh, type SshConnection, type SshTarget, sshErrorCode } from '@lmas/ssh';
import { LoginGuard, type Verdict } from '../endpoints/login-guard.ts';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { CredentialStore, Site, SiteStore } from '../sites/sites.ts';
import { raceSignal } from '../time/waiting.ts';

const IDLE_MS = 30_000;

type Machine = NonNullable<Site['gateway']>['ssh'];

interface Entry {
  readonly settings: string;
  readonly connection: Promise<SshConnection>;
  users: number;
  idle: NodeJS.Timeout | undefined;
}

export class SshPool {
  readonly #sites: SiteStore;
  readonly #credentials: CredentialStore;
  readonly #log: Logger;
  /** Sweeps go on for ever: a machine that refuses the login must not be asked each minute. */
  readonly #guard: LoginGuard;
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new AbortController();

  constructor(
    sites: SiteStore,
    credentials: CredentialStore,
    { log, loginRetryMs }: { log: Logger; loginRetryMs: number },
  ) {
    this.#guard = new LoginGuard(loginRetryMs, verdictOfSsh);
    this.#sites = sites;
    this.#credentials = credentials;
    this.#log = log;
  }

  /** Lends a live connection for as long as `use` takes. @throws LmasError GATEWAY_UNREACHABLE, NO_GATEWAY, … */
  async use<T>(site: string, signal: AbortSignal, use: (connection: SshConnection) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const entry = await this.#entry(site);
    entry.users += 1;
    clearTimeout(entry.idle);
    try {
      return await use(await raceSignal(entry.connection, signal));
    } catch (error) {
      throw translate(site, error, signal);
    } finally {
      entry.users -= 1;
      if (entry.users === 0) entry.idle = setTimeout(() => this.#drop(site, entry), IDLE_MS).unref();
    }
  }

  async close(): Promise<void> {
    this.#closing.abort(new LmasError('INTERRUPTED', 'The orchestrator is going down.'));
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { idle } of entries) clearTimeout(idle);
    await Promise.allSettled(entries.map(async ({ connection }) => await (await connection).close()));
  }

  async #entry(site: string): Promise<Entry> {
    const { gateway } = await this.#sites.get(site);
    if (gateway === null) throw new LmasError('NO_GATEWAY', `Site ${site} has no gateway machine.`);
    const settings = JSON.stringify(gateway.ssh);
    const known = this.#entries.get(site);
    if (known?.settings === settings) return known;
    if (known !== undefined) this.#drop(site, known);
    const connection = this.#connect(gateway.ssh);
    const entry: Entry = { settings, connection, users: 0, idle: undefined };
    this.#entries.set(site, entry);
    const forget = () => {
      if (this.#entries.get(site) === entry) this.#entries.delete(site);
    };
    connection.then(({ closed }) => {
      if (closed.aborted) forget();
      else closed.addEventListener('abort', forget, { once: true });
    }, forget);
    return entry;
  }

  async #connect({ host, port, hostKeys, credential }: Machine): Promise<SshConnection> {
    const secret = await this.#credentials.reveal(credential);
    const machine = { host, port, hostKeys, credential: secret, log: this.#log };
    const door = `${host}:${port}`;
    const { signal } = this.#closing;
    const attempt = { door, presented: [hostKeys, secret], way: door, attended: false, signal };
    return await this.#guard.pass(attempt, () => this.#login(machine));
  }

  /** Takes as long as an SSH login may take, whoever still waits for it. */
  async #login(machine: SshTarget): Promise<SshConnection> {
    const { host, port } = machine;
    const { signal } = this.#closing;
    try {
      return await connectSsh(machine, { signal });
    } catch (error) {
      // A login that did not end in time was not refused: a busy machine deserves one more, and no account gets locked.
      if (sshErrorCode(error) !== 'TIMEOUT') throw error;
      this.#log.warn({ host, port }, 'the SSH login did not end in time; trying once more');
      return await connectSsh(machine, { signal });
    }
  }

  #drop(site: string, entry: Entry): void {
    clearTimeout(entry.idle);
    if (this.#entries.get(site) === entry) this.#entries.delete(site);
    entry.connection.then(
      (connection) => connection.close(),
      () => undefined, // it never came to be
    );
  }
}

/** Sites may share a machine, and a login goes on whoever waits: what it met, each of them would meet. */
const NOBODY_GETS_IN: ReadonlySet<unknown> = new Set(['UNREACHABLE', 'HOST_KEY_MISMATCH', 'TIMEOUT']);

function verdictOfSsh(error: unknown): Verdict {
  const code = sshErrorCode(error);
  if (code === 'LOGIN_REFUSED') return 'refused';
  return NOBODY_GETS_IN.has(code) ? 'unreachable' : 'none';
}

/** SSH's own codes in the orchestrator's words; the reason of an abort as it is. */
function translate(site: string, error: unknown, signal: AbortSignal): unknown {
  if (signal.aborted) return signal.reason;
  const code = sshErrorCode(error);
  if (code === undefined || !(error instanceof Error)) return error;
  const remedy = REMEDIES[code];
  return new LmasError('GATEWAY_UNREACHABLE', `Gateway machine of site ${site}: ${error.message}`, {
    cause: error,
    ...(remedy === undefined ? {} : { remedy }),
  });
}

const REMEDIES: Readonly<Record<string, string>> = {
  HOST_KEY_MISMATCH:
    'If it was set up anew, compare with what the machine itself says (ssh-keygen -lf), then pin the new key: PUT /v1/sites/{id}/host-keys, or lmas host-key pin.',
  LOGIN_REFUSED: 'Check the credential of the site.',
  UNREACHABLE: 'Check address, port, firewall and that sshd runs there.',
};
