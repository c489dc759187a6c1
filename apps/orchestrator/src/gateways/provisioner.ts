/**
 * Puts gateways in place over SSH and takes them away: the program is uploaded once per version and checked before every
 * start, each gateway runs detached in a private directory named after its owner, and removal needs nothing but that name.
 *
 *   ~/.lmas/bundles/<sha256>/                               the program, by content
 *   ~/.lmas/gateways/<installation>/<owner>-<end>/          starter, claim, pid, control.sock, gateway.log
 *   ~/.lmas/fences/<installation>-<owner>-<end>             the largest token that has come for it
 *
 * Barriers, which outlive their gateways, are called <installation>-<owner>-<end> as well.
 * It owns the pool of SSH connections.
 */
import { randomUUID } from 'node:crypto';
import type { ExecResult, SshConnection } from '@lmas/ssh';
import { errorCode, LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { isMigrationId } from '../migrations/record.ts';
import type { CredentialStore, SiteStore } from '../sites/sites.ts';
import type { GatewayBundle } from './bundle.ts';
import { ControlClient } from './control-client.ts';
import type { Gateway, GatewayAddress, GatewayProvisioner } from './gateway.ts';
import { parseFacts } from './machine-test.ts';
import * as scripts from './remote-scripts.ts';
import { SshPool } from './ssh-pool.ts';

const DEFAULT_DIRECTORY = '.lmas';
const NAME = /^((?:m|l)_[0-9a-f-]{36})-(source|destination)$/;

export interface ProvisionerOptions {
  readonly sites: SiteStore;
  readonly credentials: CredentialStore;
  /** Keeps our gateways apart from those of another orchestrator on the same machine. */
  readonly installation: string;
  /** At the gateway machines, relative to the login's home; default `.lmas`. */
  readonly directory?: string;
  /** Asked for when the first gateway is started, or a machine examined. */
  readonly bundle: () => Promise<GatewayBundle>;
  /** The lease with which a gateway starts, before the first renewal. */
  readonly leaseMs: number;
  /** See LoginGuard. */
  readonly loginRetryMs: number;
  readonly log: Logger;
}

export interface SshProvisioner extends GatewayProvisioner {
  close(): Promise<void>;
}

export function createSshProvisioner(options: ProvisionerOptions): SshProvisioner {
  const { installation, leaseMs, log, directory: home = DEFAULT_DIRECTORY } = options;
  const pool = new SshPool(options.sites, options.credentials, { log, loginRetryMs: options.loginRetryMs });
  /** One upload at a time per site: migrations that start together need it once. */
  const uploads = new Map<string, Promise<unknown>>();

  const runDirectory = (base: string, { owner, end }: GatewayAddress) =>
    `${base}/gateways/${installation}/${owner}-${end}`;
  const barrierName = ({ owner, end }: GatewayAddress) => `${installation}-${owner}-${end}`;
  /** What every script is told first that does something to a gateway. */
  const fenced = (base: string, address: GatewayAddress, token: number | typeof scripts.NO_RUN) =>
    [runDirectory(base, address), `${base}/fences/${barrierName(address)}`, String(token)] as const;
  const client = (base: string, address: GatewayAddress, token: number): Gateway => {
    const socketPath = `${runDirectory(base, address)}/control.sock`;
    return new ControlClient(pool, address, { socketPath, barrierName: barrierName(address), token });
  };

  const installed = async (connection: SshConnection, site: string, base: string, signal: AbortSignal) => {
    const former = uploads.get(site);
    const upload = (async () => {
      await former?.catch(() => undefined); // its own caller has heard of it
      return await ensureBundle(connection, base, await options.bundle(), signal, log);
    })();
    uploads.set(site, upload);
    try {
      return await upload;
    } finally {
      if (uploads.get(site) === upload) uploads.delete(site);
    }
  };

  return {
    async start(address, token, { signal }) {
      return await pool.use(address.site, signal, async (connection) => {
        const base = await makeBase(connection, home, signal);
        const program = await installed(connection, address.site, base, signal);
        const started = await shell(
          connection,
          scripts.START_GATEWAY,
          [...fenced(base, address, token), program, String(leaseMs)],
          signal,
        );
        if (started.exitCode !== 0) {
          throw new LmasError('GATEWAY_START_FAILED', `Gateway at site ${address.site}: ${complaint(started)}`);
        }
        log.info(named(address), 'gateway started');
        return client(base, address, token);
      });
    },
    async attach(address, token, { signal }) {
      return await pool.use(address.site, signal, async (connection) => {
        const base = await makeBase(connection, home, signal);
        const { exitCode } = await shell(connection, scripts.TAKE_GATEWAY, fenced(base, address, token), signal);
        return exitCode === 0 ? client(base, address, token) : undefined;
      });
    },
    async remove(address, token, { signal, sparing }) {
      await pool.use(address.site, signal, async (connection) => {
        const base = await makeBase(connection, home, signal);
        if (sparing) await refuseBusy(client(base, address, token), address, signal);
        await mustSucceed(connection, scripts.REMOVE_GATEWAY, fenced(base, address, token), signal);
        await cleanInterceptions(connection, signal);
        log.info(named(address), 'gateway removed');
      });
    },
    async removeBarrier(address, token, { signal }) {
      await pool.use(address.site, signal, async (connection) => {
        const base = await makeBase(connection, home, signal);
        const args = [...fenced(base, address, token), barrierName(address)];
        await mustSucceed(connection, scripts.REMOVE_BARRIER, args, signal);
        log.info(named(address), 'barrier removed');
      });
    },
    async examine(site, { signal }) {
      const { sha256, root, manifest } = await options.bundle();
      return await pool.use(site, signal, async (connection) => {
        const args = [`${home}/bundles/${sha256}`, root];
        const { stdout } = await mustSucceed(connection, scripts.EXAMINE_MACHINE, args, signal, manifest);
        return parseFacts(stdout.toString('utf8'));
      });
    },
    async sweep(site, isOwned, { signal }) {
      return await pool.use(site, signal, async (connection) => {
        const base = await makeBase(connection, home, signal);
        const nobodys = (address: GatewayAddress) => fenced(base, address, scripts.NO_RUN);
        const places = [`${base}/gateways/${installation}`, `${base}/fences/${installation}-`];
        const listing = await mustSucceed(connection, scripts.LIST_GATEWAYS, places, signal);
        const removed: string[] = [];
        for (const name of listing.stdout.toString('utf8').split('\n')) {
          const address = addressOf(site, name);
          if (address === undefined || (await isOwned(address.owner))) continue;
          try {
            // Whose migration ended as unknown may still carry it: an open stream holds its gateway here as well.
            if (await isBusy(client(base, address, Number.MAX_SAFE_INTEGER), signal)) continue;
            await mustSucceed(connection, scripts.REMOVE_GATEWAY, nobodys(address), signal);
            removed.push(name);
          } catch (error) {
            signal.throwIfAborted();
            log.warn(
              { err: error, ...named(address) },
              'a gateway without an owner could not be removed; the others go on',
            );
          }
        }
        for (const address of await barriersAt(connection, site, `${installation}-`, signal)) {
          if (await isOwned(address.owner)) continue;
          const name = barrierName(address);
          await mustSucceed(connection, scripts.REMOVE_BARRIER, [...nobodys(address), name], signal);
          removed.push(`barrier ${name}`);
        }
        return [...removed, ...(await cleanInterceptions(connection, signal))];
      });
    },
    close: () => pool.close(),
  };
}

/** What a killed gateway could not undo. Until then it forwards everything, so that nothing depends on its success here. */
async function cleanInterceptions(connection: SshConnection, signal: AbortSignal): Promise<string[]> {
  const { exitCode, stdout } = await shell(connection, scripts.CLEAN_INTERCEPTIONS, [], signal);
  return exitCode === 0 ? stdout.toString('utf8').split('\n').filter(Boolean) : [];
}

/** Whose stand there, with a name that begins so. Who may not look has none there either: raising one needs the same right. */
async function barriersAt(
  connection: SshConnection,
  site: string,
  prefix: string,
  signal: AbortSignal,
): Promise<GatewayAddress[]> {
  const { exitCode, stdout } = await shell(connection, scripts.LIST_BARRIERS, [], signal);
  if (exitCode !== 0) return [];
  const names = stdout.toString('utf8').split('\n');
  return names.flatMap((name) => (name.startsWith(prefix) ? (addressOf(site, name.slice(prefix.length)) ?? []) : []));
}

/** As `<owner>-<end>` says; undefined: no name of ours. */
function addressOf(site: string, name: string): GatewayAddress | undefined {
  const [, owner, end] = NAME.exec(name) ?? [];
  if (owner === undefined || (end !== 'source' && end !== 'destination')) return undefined;
  return { site, owner, end };
}

async function isBusy(gateway: Gateway, signal: AbortSignal): Promise<boolean> {
  try {
    return (await gateway.status({ signal })).streams.length > 0;
  } catch (error) {
    if (errorCode(error) === 'GATEWAY_ENDED') return false;
    // Earlier versions asked with the largest token there is. Whether it may be removed is said at its fence.
    if (errorCode(error) === 'SUPERSEDED') return true;
    throw error;
  }
}

async function refuseBusy(gateway: Gateway, { site }: GatewayAddress, signal: AbortSignal): Promise<void> {
  if (!(await isBusy(gateway, signal))) return;
  throw new LmasError('IN_USE', `The gateway at site ${site} still carries streams; it ends by itself after them.`);
}

async function makeBase(connection: SshConnection, directory: string, signal: AbortSignal): Promise<string> {
  return (await mustSucceed(connection, scripts.MAKE_BASE, [directory], signal)).stdout.toString('utf8').trim();
}

/** The program's path at the site, after making sure that it is what we have here. */
async function ensureBundle(
  connection: SshConnection,
  base: string,
  bundle: GatewayBundle,
  signal: AbortSignal,
  log: Logger,
): Promise<string> {
  const directory = `${base}/bundles/${bundle.sha256}`;
  const program = `${directory}/${bundle.root}/bin/lmas-gateway`;
  const verify = async () =>
    (await shell(connection, scripts.VERIFY_BUNDLE, [directory], signal, bundle.manifest)).exitCode === 0;
  if (await verify()) return program;
  log.info({ peer: connection.peer, sha256: bundle.sha256 }, 'uploading the gateway');
  const archive = `${directory}.${randomUUID()}.tar.gz`;
  await connection.upload({ file: bundle.file }, archive, { signal, mode: 0o600 });
  await mustSucceed(connection, scripts.UNPACK_BUNDLE, [archive, bundle.sha256, directory], signal, bundle.manifest);
  if (!(await verify())) throw new LmasError('GATEWAY_CORRUPT', `It does not verify on ${connection.peer}.`);
  return program;
}

async function shell(
  connection: SshConnection,
  script: string,
  args: readonly string[],
  signal: AbortSignal,
  stdin?: string,
): Promise<ExecResult> {
  const result = await connection.exec(['sh', '-c', script, 'sh', ...args], {
    signal,
    ...(stdin === undefined ? {} : { stdin }),
  });
  if (result.exitCode !== scripts.SUPERSEDED_CODE) return result;
  throw new LmasError('SUPERSEDED', `A newer run has the gateway at ${connection.peer}.`);
}

async function mustSucceed(
  connection: SshConnection,
  script: string,
  args: readonly string[],
  signal: AbortSignal,
  stdin?: string,
): Promise<ExecResult> {
  const result = await shell(connection, script, args, signal, stdin);
  if (result.exitCode !== 0) throw new LmasError('GATEWAY_START_FAILED', `${connection.peer}: ${complaint(result)}`);
  return result;
}

const complaint = ({ exitCode, stderr }: ExecResult): string =>
  `exit code ${exitCode}: ${stderr.toString('utf8').trim().slice(0, 500)}`;

/** For a line of the log: one that is about a migration says so as all others do. */
function named({ owner, site, end }: GatewayAddress): object {
  return isMigrationId(owner) ? { migration: owner, site, end } : { linkTest: owner, site, end };
}
