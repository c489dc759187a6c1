/**
 * The orchestrator as a process: puts the groups of parts under wiring/ together in their order, ends them in the opposite
 * one, and is the command. With wiring/ the only place that knows all the parts.
 */
import { claimDataDir, instanceOf, makeDataDir } from './access/data-dir.ts';
import { backUp, restore } from './backup/backup.ts';
import { type Config, describeSettings, readConfig, unknownSettings } from './config.ts';
import { describeError, LmasError } from './errors.ts';
import type { GatewayProvisioner } from './gateways/gateway.ts';
import { createLiveGateways } from './gateways/live-gateways.ts';
import { OPERATIONS } from './http/call-observer.ts';
import { createLog, type RootLogger } from './log.ts';
import { createEventHub } from './migrations/events.ts';
import { createMetrics } from './observability/metrics.ts';
import { createStateReader } from './observability/state.ts';
import { loadPlugins, type PluginRegistry } from './plugins/registry.ts';
import type { SiteStore } from './sites/sites.ts';
import { heedStopSignals } from './stop-signals.ts';
import { wantsTraces } from './tracing/settings.ts';
import { startTracing } from './tracing/start.ts';
import { openStore } from './upgrades/store-version.ts';
import { VERSION } from './version.ts';
import { findKeys, makeKeys, openAccess, secretsUnder } from './wiring/access.ts';
import { createServices, openDoor, serveApi } from './wiring/api.ts';
import { startAutomation } from './wiring/automation.ts';
import { createBalancingOver } from './wiring/balancing.ts';
import { type Base, hasRole } from './wiring/base.ts';
import { Closers } from './wiring/closers.ts';
import { type Connections, openConnections } from './wiring/connections.ts';
import { createReach } from './wiring/endpoints.ts';
import { sshGateways } from './wiring/gateways.ts';
import { createMigrationsOver } from './wiring/migrations.ts';
import { createRecords } from './wiring/records.ts';
import { startScheduler } from './wiring/scheduler.ts';
import { readTls } from './wiring/tls.ts';
import { createWebhooksOver } from './wiring/webhooks.ts';
import { createWork, startWorker } from './wiring/worker.ts';

/** What callers are told from the moment on at which the process begins to end. */
const GOING_DOWN = 'The orchestrator is going down.';
const COME_BACK =
  'Try again in a few seconds: another process answers then, or this one once it has been started again.';

/** Without Redis nothing can be brought to an orderly end: what was under way is recovered by the next start. */
const CLOSE_LIMIT_WITHOUT_REDIS_MS = 2_000;

const USAGE = `lmas-orchestrator [--role ROLE]   runs until SIGTERM; the second one ends it at once
lmas-orchestrator backup FILE     writes everything on record into a new file, while it runs
lmas-orchestrator restore FILE    into a data directory without records`;

/** What a test may put in the place of the real thing. */
export interface Parts {
  readonly plugins?: PluginRegistry;
  readonly gateways?: (
    sites: SiteStore,
    real: () => Promise<GatewayProvisioner>,
  ) => GatewayProvisioner | Promise<GatewayProvisioner>;
}

export interface Orchestrator {
  /** Where the API listens. */
  readonly url: string;
  readonly apiKeyFile: string;
  /**
   * Ends everything in order: nothing new is begun; who looks after the installation stops; running migrations are left to the next
   * start after `shutdownGraceMs`, those past the point of no return within a minute more; calls under way are answered, within
   * seconds, or cut off, and what was begun for these has a moment to come to its end; Redis comes last.
   */
  stop(): Promise<void>;
}

/** @param signal ends a start that still waits for Redis */
export async function startOrchestrator(
  config: Config,
  log: RootLogger,
  parts: Parts = {},
  { signal }: { signal: AbortSignal } = { signal: new AbortController().signal },
): Promise<Orchestrator> {
  const closers = new Closers(log);
  const stopping = new AbortController();
  const beginToEnd = () => stopping.abort(new LmasError('UNAVAILABLE', GOING_DOWN, { remedy: COME_BACK }));
  const base = { config, log, closers, stopping: stopping.signal };
  try {
    const { redis, ...started } = await assemble(base, parts, signal);
    const stop = async () => {
      beginToEnd();
      await end(base, redis);
    };
    return { ...started, stop };
  } catch (error) {
    beginToEnd();
    await closers.closeAll();
    throw error;
  }
}

async function assemble(
  base: Base,
  parts: Parts,
  signal: AbortSignal,
): Promise<Omit<Orchestrator, 'stop'> & { readonly redis: Connections }> {
  const { config, log } = base;
  const tls = await readTls(config, log);
  const instance = await openDataDir(base);
  const plugins = parts.plugins ?? (await loadPlugins(config.plugins));
  const found = await findKeys(config); // what is wrong with a key is said at once, not when Redis is there
  const redis = await openConnections(base, tls, { signal });
  const secrets = secretsUnder(found ?? (await makeKeys(config, redis)), redis);
  const { vault } = secrets;
  await openStore({ redis: redis.work, vault, ring: secrets.keyRing }, log);
  const access = await openAccess(base, redis, secrets);

  const asked = createRecords(redis.calls, { vault, plugins });
  const records = createRecords(redis.work, { vault, plugins });
  const { inventory } = records;
  // Whoever holds the data directory is the only one who can reach its private Redis.
  await records.store.dropLeases(config.redisUrl === undefined ? null : instance);
  const reach = createReach(base, plugins, asked.inventory);
  const overSsh = () => sshGateways(base, redis.work, inventory);
  const gateways = await (parts.gateways?.(inventory.sites, overSsh) ?? overSsh());
  const liveGateways = createLiveGateways(asked.store);
  const { store, admission } = asked;
  const readState = createStateReader({ redis: redis.calls, store, admission, gateways: liveGateways });
  const metrics = createMetrics({
    ...{ role: config.role, readState, sessionsOf: () => reach.openByPlugin() },
    operations: hasRole(config, 'api') ? OPERATIONS : [],
    plugins: hasRole(config, 'worker') ? plugins.all().map(({ name }) => name) : [],
  });
  const work = await createWork(base, redis, records, {
    instance,
    connector: reach.connectorOver(inventory),
    gateways,
    metrics,
  });
  // Over the connection for work: a stream of events waits for a Redis that is away, and goes on where it was.
  const events = await createEventHub(redis.work, redis.subscriber, records.store);

  const serve = async (): Promise<string> => {
    const { webhooks, deliveries } = createWebhooksOver(base, redis.calls, redis.calls, { vault, metrics });
    const questions = reach.questionsOver(asked.inventory);
    const behind = {
      access,
      plugins,
      gateways,
      liveGateways,
      metrics,
      readState,
      events,
      webhooks,
      deliveries,
      questions,
    };
    const inventory = { ...asked.inventory, endpoints: reach.noticing(asked.inventory.endpoints) };
    return await serveApi(base, tls, createServices(base, tls, redis, { ...asked, inventory }, behind), behind);
  };
  const url = hasRole(config, 'api') ? await serve() : await openDoor(base, tls, redis, access, metrics);
  const dispatcher = hasRole(config, 'worker')
    ? await startWorker(base, redis, records, work)
    : { look: () => records.admission.announce() }; // whoever has room hears it
  if (hasRole(config, 'scheduler')) {
    const queueConnection = redis.open('webhook queue connection');
    const { webhooks } = createWebhooksOver(base, redis.work, queueConnection, { vault, metrics });
    const { queue } = work;
    const questions = reach.questionsOver(inventory);
    const asking = createMigrationsOver(base, redis.work, records, { queue, plugins, questions });
    const balancing = createBalancingOver(base, redis.work, records, { ...asking, questions, metrics });
    await startScheduler(base, redis, records, { queue, dispatcher, gateways, webhooks, balancing });
    await startAutomation(base, redis, records, {
      ...{ queue, plugins, questions, events, metrics, balancing },
      projects: records.projects,
    });
  }
  return { url, apiKeyFile: access.apiKeyFile, redis };
}

/** @returns the name of this instance */
async function openDataDir({ config: { dataDir }, closers }: Base): Promise<string> {
  await makeDataDir(dataDir);
  const release = await claimDataDir(dataDir);
  closers.add('data directory', release);
  return await instanceOf(dataDir);
}

async function end({ log, closers }: Base, { answers, disconnectAll }: Connections): Promise<void> {
  if (await answers()) return await closers.closeAll();
  log.error({}, 'Redis does not answer: ending without it; what is under way is recovered at the next start');
  disconnectAll();
  await closers.closeAll({ mostMs: CLOSE_LIMIT_WITHOUT_REDIS_MS });
}

/** The command: settings from the environment, ends on SIGTERM and SIGINT, in order and, at the second one, at once. */
export async function main(): Promise<void> {
  try {
    await serve();
  } catch (error) {
    const { code, message, remedy } = describeError(explainStartFailure(error));
    console.error(code === 'INTERNAL' ? error : [`${code}: ${message}`, remedy].filter(Boolean).join('\n'));
    process.exit(1);
  }
}

/** What commonly goes wrong at start, with what to do; anything else as it is. */
function explainStartFailure(error: unknown): unknown {
  const native = error instanceof Error && 'code' in error ? String(error.code) : '';
  const remedies: Record<string, string> = {
    EADDRINUSE: 'Another program listens there, perhaps another orchestrator: stop it, or set LMAS_PORT.',
    EADDRNOTAVAIL: 'LMAS_HOST must be an address of this machine.',
    EACCES: 'Check who owns LMAS_DATA_DIR, and that LMAS_PORT is above 1023 or you are root.',
    EEXIST: 'LMAS_DATA_DIR must be a directory.',
    ENOTDIR: 'LMAS_DATA_DIR must be a directory.',
  };
  const remedy = remedies[native];
  if (remedy === undefined || !(error instanceof Error)) return error;
  return new LmasError('INVALID_CONFIG', error.message, { cause: error, remedy });
}

/** `--role worker` or `--role=worker`, and nothing else. */
function readArguments(args: readonly string[]): { role?: string; unexpected?: string } {
  const [first, second, third] = args.flatMap((arg) => (arg.startsWith('--role=') ? ['--role', arg.slice(7)] : [arg]));
  if (first === undefined) return {};
  if (first !== '--role' || second === undefined) return { unexpected: first };
  return third === undefined ? { role: second } : { unexpected: third };
}

/** The two commands that are no orchestrator. */
async function keep(command: 'backup' | 'restore', file: string | undefined): Promise<void> {
  if (file === undefined) {
    console.error(`lmas-orchestrator ${command} takes one file.`);
    process.exitCode = 2;
    return;
  }
  const config = readConfig(process.env);
  if (command === 'backup') await backUp(config, file);
  else await restore(config, file, createLog(config.logLevel));
  console.log(
    command === 'backup'
      ? `${file}: everything on record, as of now. The master key is not in it: keep it as well, and apart.`
      : `Restored into ${config.dataDir}. Put the master key there before the start, if it is not set in another way.`,
  );
}

async function serve(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(`lmas-orchestrator ${VERSION}\n\n${USAGE}\n\n${describeSettings()}`);
    return;
  }
  const [command, file, ...rest] = process.argv.slice(2);
  if (command === 'backup' || command === 'restore') return await keep(command, rest.length === 0 ? file : undefined);
  const { role, unexpected } = readArguments(process.argv.slice(2));
  if (unexpected !== undefined) {
    console.error(
      `lmas-orchestrator takes no ${unexpected}: but --role, its settings are environment variables. See --help.`,
    );
    process.exitCode = 2;
    return;
  }
  const config = readConfig({ ...process.env, ...(role === undefined ? {} : { LMAS_ROLE: role }) });
  // Children do not inherit secrets, and no report of a crash shows them.
  delete process.env.LMAS_MASTER_KEY;
  delete process.env.REDIS_URL;
  process.report.excludeEnv = true;
  const log = createLog(config.logLevel, { traced: wantsTraces(process.env) });
  const tracing = await startTracing(process.env, config.role, log);
  for (const { variable, meant } of unknownSettings(process.env)) {
    log.warn({}, `${variable} is no setting${meant === undefined ? '.' : `; did you mean ${meant}?`} See --help.`);
  }
  const stopping = new AbortController();
  heedStopSignals((signal) => {
    log.info({ signal }, 'stopping; once more ends it at once');
    stopping.abort(new LmasError('INTERRUPTED', 'It was told to end while it started.'));
  });
  const orchestrator = await startOrchestrator(config, log, {}, { signal: stopping.signal }).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
    log.info({}, describeError(error).message);
    process.exit(0);
  });
  const stop = async () => {
    await orchestrator.stop();
    await tracing.stop();
    process.exit(0);
  };
  if (stopping.signal.aborted) return await stop();
  stopping.signal.addEventListener('abort', () => void stop(), { once: true });
  log.info({ url: orchestrator.url, apiKeyFile: orchestrator.apiKeyFile, version: VERSION }, 'ready');
}

if (import.meta.main) await main();
