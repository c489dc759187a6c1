/**
 * Wires the orchestrator together, and ends it in order. The only file that knows all the parts.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Server as TlsServer } from 'node:tls';
import { scanHostKeys } from '@lmas/ssh';
import type { Redis } from 'ioredis';
import { createApiKeys } from './access/api-keys.ts';
import { createAuditLog } from './access/audit.ts';
import { createAuthenticator } from './access/authenticator.ts';
import { claimDataDir } from './access/data-dir.ts';
import { ensureAdminKey } from './access/first-key.ts';
import { type MasterKeySource, openKeyRing } from './access/master-keys.ts';
import { createTokenVerifier } from './access/oidc.ts';
import { readOidcConfig } from './access/oidc-config.ts';
import { createProjects } from './access/projects.ts';
import { createRotation } from './access/rotation.ts';
import { scopeOf } from './access/scope.ts';
import { createVault } from './access/vault.ts';
import { createAdmission } from './admission/admission.ts';
import { createLaneFinder, type LaneFinder } from './admission/lanes.ts';
import { createQueueService } from './admission/service.ts';
import { type Config, describeSettings, type Role, readConfig, unknownSettings } from './config.ts';
import { createConnector } from './endpoints/connector.ts';
import { describeError, LmasError } from './errors.ts';
import { type GatewayBundle, readBundle } from './gateways/bundle.ts';
import type { GatewayProvisioner } from './gateways/gateway.ts';
import { createLiveGateways } from './gateways/live-gateways.ts';
import { createSshProvisioner } from './gateways/provisioner.ts';
import { buildServer } from './http/server.ts';
import { openServiceDoor } from './http/service-door.ts';
import type { Services } from './http/services.ts';
import { followTlsFiles, readTlsPair, warnOfExpiry } from './http/tls.ts';
import { createBandwidthKeeper } from './links/bandwidth-keeper.ts';
import { createBandwidthLimits } from './links/bandwidth-limits.ts';
import { createLinkTester } from './links/link-test.ts';
import { createLinkService } from './links/links.ts';
import { createLog, type Logger, type RootLogger } from './log.ts';
import { createChanges } from './migrations/changes.ts';
import { createMigrationChecker } from './migrations/checks.ts';
import { createEventHub } from './migrations/events.ts';
import { createMigrationService } from './migrations/service.ts';
import { createMigrationStore, type MigrationStore } from './migrations/store.ts';
import { createMetrics } from './observability/metrics.ts';
import { createStateReader } from './observability/state.ts';
import { loadPlugins, type PluginRegistry } from './plugins/registry.ts';
import { createDeliveryQueue } from './queue/delivery-queue.ts';
import { type Dispatcher, startDispatcher } from './queue/dispatcher.ts';
import { createQueue } from './queue/queue.ts';
import { startReaper } from './queue/reaper.ts';
import { startRecovery } from './queue/recovery.ts';
import { createRunner } from './queue/runner.ts';
import { describeAddress, type RedisAddress } from './redis/address.ts';
import { connect } from './redis/connect.ts';
import { checkDurability } from './redis/durability.ts';
import { awaitRedis } from './redis/first-contact.ts';
import { keys } from './redis/keys.ts';
import { startPrivateRedis } from './redis/private-server.ts';
import { waitForReplicas } from './redis/replicas.ts';
import { serversOf } from './redis/servers.ts';
import { createHostKeyPins } from './sites/host-keys.ts';
import { createInventory, type Inventory, type SiteStore } from './sites/sites.ts';
import { VERSION } from './version.ts';
import { createWebhookService } from './webhooks/service.ts';

const LIVE_BATCH = 200;
/** Longer than the longest that one part may rightly take: a Redis that writes everything down before it ends. */
const CLOSE_LIMIT_MS = 40_000;
/** Without Redis nothing can be brought to an orderly end: what was under way is recovered by the next start. */
const CLOSE_LIMIT_WITHOUT_REDIS_MS = 2_000;
const TLS_FILES_INTERVAL_MS = 10_000;

/** What a test may put in the place of the real thing. */
export interface Parts {
  readonly plugins?: PluginRegistry;
  readonly gateways?: (sites: SiteStore) => GatewayProvisioner;
}

export interface Orchestrator {
  /** Where the API listens. */
  readonly url: string;
  readonly apiKeyFile: string;
  /** Ends everything in order; running migrations are left to the next start after `shutdownGraceMs`. */
  stop(): Promise<void>;
}

/** Things to be ended, newest first, whatever happens to the others. */
class Closers {
  readonly #closers: { name: string; close: () => Promise<unknown> }[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, close: () => Promise<unknown>): void {
    this.#closers.push({ name, close });
  }

  /** Each has its time; what takes longer is left to the end of the process. */
  async closeAll({ limitMs = CLOSE_LIMIT_MS } = {}): Promise<void> {
    for (const { name, close } of this.#closers.splice(0).reverse()) {
      const closed = close().then(
        () => true,
        (error: unknown) => this.#log.error({ err: error, name }, 'could not be ended in order'),
      );
      const inTime = await Promise.race([closed, sleep(limitMs, false, { ref: false })]);
      if (inTime === false) this.#log.error({ name, limitMs }, 'did not end in time; going on without it');
    }
  }
}

/** @param signal ends a start that still waits for Redis */
export async function startOrchestrator(
  config: Config,
  log: RootLogger,
  parts: Parts = {},
  { signal }: { signal: AbortSignal } = { signal: new AbortController().signal },
): Promise<Orchestrator> {
  const closers = new Closers(log);
  try {
    return await assemble(config, log, parts, closers, signal);
  } catch (error) {
    await closers.closeAll();
    throw error;
  }
}

async function assemble(
  config: Config,
  log: RootLogger,
  parts: Parts,
  closers: Closers,
  signal: AbortSignal,
): Promise<Orchestrator> {
  const tls = await tlsOf(config, log);
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 });
  await chmod(config.dataDir, 0o700);
  const releaseDataDir = await claimDataDir(config.dataDir);
  closers.add('data directory', releaseDataDir);

  const plugins = parts.plugins ?? (await loadPlugins(config.plugins));
  const keyRing = await openKeyRing(masterKeySource(config));
  const vault = createVault(keyRing);

  const address = await redisAddress(config, log, closers);
  const redis = connect(address, log);
  closers.add('redis', async () => redis.disconnect());
  const contact = await awaitRedis(redis, { name: describeAddress(address), log, signal });
  if (contact !== undefined) {
    const { reason: refusal } = contact;
    const readiness = async () => [{ name: 'redis', ok: false, detail: refusal() }];
    await using _door = await openServiceDoor({ ...config, tls: tls?.pair, refusal, readiness });
    await contact.made;
  }
  const subscriber = connect(address, log);
  closers.add('redis subscriber', async () => subscriber.disconnect());
  if (address.kind !== 'socket') {
    await waitForReplicas(redis, log);
    await checkDurability(redis, { kind: address.kind, log, allowUnsafe: config.allowUnsafeRedis });
  }

  const rotation = createRotation(redis, keyRing, vault, log);
  // A rotation that a crash broke off is finished. What cannot be opened is not in the way of the rest.
  await rotation.resealAll().catch((error: unknown) => log.error({ err: error }, 'some secrets cannot be opened'));
  const tokens = config.oidcFile === undefined ? undefined : createTokenVerifier(await readOidcConfig(config.oidcFile));
  const apiKeyFile = join(config.dataDir, 'api-key');
  const apiKeys = createApiKeys(redis);
  await ensureAdminKey(apiKeys, apiKeyFile, { otherWaysIn: tokens !== undefined, log });

  const store = createMigrationStore(redis);
  // Whoever holds the data directory is the only one who can reach its private Redis.
  if (config.redisUrl === undefined) await store.dropLeases();
  const inventory = createInventory(redis, { vault, plugins, migrations: store });
  const connector = createConnector(inventory.endpoints, inventory.credentials, plugins, {
    log,
    loginRetryMs: config.loginRetryMs,
  });
  const gateways = parts.gateways?.(inventory.sites) ?? (await sshGateways(config, redis, inventory, log, closers));

  const queue = createQueue(address, log);
  closers.add('queue', () => queue.close());
  const admission = createAdmission(redis);
  const traffic = { admission, bandwidth: createBandwidthLimits(redis) };
  const links = createLinkService(redis, inventory.sites, traffic);
  const bandwidth = createBandwidthKeeper(subscriber, traffic.bandwidth, log);
  const changes = createChanges(redis);
  const tools = { connector, sites: inventory.sites, gateways, changes, bandwidth, links, settings: config };
  const liveGateways = createLiveGateways(store);
  const readState = createStateReader({ redis, store, admission, gateways: liveGateways });
  const metrics = createMetrics({ role: config.role, readState });
  const runOptions = { leaseMs: config.runLeaseMs, log, tap: log.tap, onChange: metrics.migrationChanged };
  const runner = await createRunner(subscriber, store, tools, runOptions);
  closers.add('running migrations', async () => {
    const drained = queue.drain();
    await Promise.race([drained, sleep(config.shutdownGraceMs, undefined, { ref: false })]);
    await runner.abandonAll();
    await drained;
  });
  const laneOf = createLaneFinder(inventory.endpoints, plugins);
  const migrations = createMigrationService(redis, store, queue, {
    inventory,
    plugins,
    admission,
    laneOf,
    changes,
    bandwidth: traffic.bandwidth,
    idempotencyMs: config.idempotencyMs,
  });

  const { endpoints } = inventory;
  const checker = createMigrationChecker({ service: migrations, connector, endpoints, links, log });
  const projects = createProjects(redis);
  const events = await createEventHub(redis, subscriber, store);
  const deliveryQueue = createDeliveryQueue(address, log);
  closers.add('webhook queue', () => deliveryQueue.close());
  const webhooks = createWebhookService(redis, deliveryQueue, {
    vault,
    settings: config,
    onAttempt: metrics.webhookAttempted,
    log,
  });
  closers.add('webhooks', () => webhooks.stop());

  const readiness = async () => [await redisReadiness(redis)];
  const authenticator = createAuthenticator(apiKeys, projects, tokens);
  const services = (): Services => ({
    authenticator,
    seenBy: (caller) => scopeOf(caller, { migrations, events, checker, inventory, connector, projects }),
    apiKeys,
    projects,
    rotation,
    hostKeyPins: createHostKeyPins(redis, plugins),
    audit: createAuditLog(redis, { maxEntries: config.auditMaxEntries, log }),
    plugins,
    webhooks,
    queue: createQueueService(admission, traffic, inventory),
    links,
    gateways: liveGateways,
    metrics,
    linkTester: createLinkTester(redis, inventory.sites, gateways, links, log),
    scanHostKeys: async (host, port, options) =>
      (await scanHostKeys(host, port, options)).map(({ family, fingerprint }) => ({ type: family, fingerprint })),
    isAvailable: () => redis.status === 'ready',
    readiness,
  });
  const serveApi = async (): Promise<string> => {
    const app = buildServer(services(), {
      log,
      tls: tls?.pair,
      trustedProxies: config.trustedProxies,
      limits: config,
      onCall: metrics.callAnswered,
    });
    closers.add('http', () => app.close());
    if (tls !== undefined) {
      const server = app.server as unknown as TlsServer; // Fastify made it from `tls`
      const following = followTlsFiles(server, tls.files, {
        current: tls.pair,
        intervalMs: TLS_FILES_INTERVAL_MS,
        log,
      });
      closers.add('certificate files', async () => following.stop());
    }
    return await app.listen({ host: config.host, port: config.port });
  };
  const openDoor = async (): Promise<string> => {
    const refusal = () => `This process has the role ${config.role}: the API is served by another one.`;
    const door = await openServiceDoor({
      ...{ host: config.host, port: config.port, tls: tls?.pair, readiness, refusal },
      metrics: { authenticator, exposition: metrics.exposition },
    });
    closers.add('service door', async () => await door[Symbol.asyncDispose]());
    return door.url;
  };
  const has = (role: Role): boolean => config.role === 'all' || config.role === role;
  const url = has('api') ? await serveApi() : await openDoor();

  const room = () => config.concurrency - runner.activeCount();
  let dispatcher: Dispatcher = { look: () => admission.announce() }; // whoever has room hears it
  if (has('worker')) {
    const own = await startDispatcher(subscriber, admission, queue, { room, log });
    dispatcher = own;
    queue.work(config.concurrency, async (id) => {
      await runner.run(id);
      void own.look(); // there is room now
    });
  }
  if (has('scheduler')) {
    await webhooks.start(subscriber);
    const rebuild = () => admission.rebuild(liveLanes(store, laneOf));
    const watched = { queue, admission, dispatcher, rebuild, servers: () => serversOf(redis) };
    const recovery = startRecovery(store, watched, { intervalMs: config.recoveryIntervalMs, log });
    closers.add('recovery', () => recovery.stop());
    const isOwned = async (owner: string) =>
      (await store.isLive(owner)) || (await redis.exists(keys.linkTest(owner))) === 1;
    const reaper = startReaper(inventory.sites, gateways, isOwned, { intervalMs: config.reaperIntervalMs, log });
    closers.add('reaper', () => reaper.stop());
  }
  const stop = async () => {
    const { ok } = await redisReadiness(redis);
    if (ok) return await closers.closeAll();
    log.error({}, 'Redis does not answer: ending without it; what is under way is recovered at the next start');
    // Whatever waits for an answer is told that there will be none.
    for (const connection of [redis, subscriber]) connection.disconnect();
    await closers.closeAll({ limitMs: CLOSE_LIMIT_WITHOUT_REDIS_MS });
  };
  return { url, apiKeyFile, stop };
}

/** The certificate, if there is one. @throws LmasError INVALID_CONFIG when the API would be open to eavesdroppers */
async function tlsOf({ tlsCertFile: certFile, tlsKeyFile: keyFile, ...config }: Config, log: Logger) {
  if (certFile !== undefined && keyFile !== undefined) {
    const files = { certFile, keyFile };
    const pair = await readTlsPair(files);
    warnOfExpiry(pair, files, log);
    return { files, pair };
  }
  if (certFile !== undefined || keyFile !== undefined) {
    throw new LmasError('INVALID_CONFIG', 'LMAS_TLS_CERT_FILE and LMAS_TLS_KEY_FILE go together.');
  }
  if (!isLoopback(config.host)) {
    if (!config.allowPlainHttp) {
      throw new LmasError('INVALID_CONFIG', `The API would listen at ${config.host} in plain HTTP.`, {
        remedy:
          'Set LMAS_TLS_CERT_FILE and LMAS_TLS_KEY_FILE. Or, behind a TLS proxy and nowhere else, LMAS_ALLOW_PLAIN_HTTP=true.',
      });
    }
    log.warn({ host: config.host }, 'the API listens beyond this machine in plain HTTP, as LMAS_ALLOW_PLAIN_HTTP says');
  }
  return undefined;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);

/** @throws LmasError INVALID_CONFIG when there are several */
function masterKeySource(config: Config): MasterKeySource {
  const { masterKey: text, masterKeyFile: path, masterKeyCommand: command } = config;
  const sources: MasterKeySource[] = [
    ...(text === undefined ? [] : [{ kind: 'environment' as const, text }]),
    ...(path === undefined ? [] : [{ kind: 'file' as const, path, create: false }]),
    ...(command === undefined ? [] : [{ kind: 'command' as const, command }]),
  ];
  if (sources.length > 1) {
    throw new LmasError(
      'INVALID_CONFIG',
      'Only one of LMAS_MASTER_KEY, LMAS_MASTER_KEY_FILE and LMAS_MASTER_KEY_COMMAND can be set.',
    );
  }
  return sources[0] ?? { kind: 'file', path: join(config.dataDir, 'master-key'), create: true };
}

async function redisAddress(config: Config, log: Logger, closers: Closers): Promise<RedisAddress> {
  if (config.redisUrl !== undefined) return config.redisUrl;
  if (config.role !== 'all') {
    throw new LmasError('INVALID_CONFIG', `A process of role ${config.role} shares a Redis with others.`, {
      remedy: 'Set REDIS_URL (and the same master key) for all of them.',
    });
  }
  const server = await startPrivateRedis(config.redisServer, config.dataDir, log);
  closers.add('private Redis', () => server.stop());
  return server;
}

/** Every live migration with its lane, a few at a time. */
async function* liveLanes(store: MigrationStore, laneOf: LaneFinder) {
  const ids = await store.live();
  for (let i = 0; i < ids.length; i += LIVE_BATCH) {
    const migrations = await store.getMany(ids.slice(i, i + LIVE_BATCH));
    yield await Promise.all(migrations.map(async (migration) => ({ migration, lane: await laneOf(migration) })));
  }
}

/** Tells our gateways from those of another orchestrator that uses the same machines. */
async function installationId(redis: Redis): Promise<string> {
  await redis.setnx(keys.installation, randomBytes(4).toString('hex'));
  return (await redis.get(keys.installation)) ?? '';
}

async function sshGateways(
  config: Config,
  redis: Redis,
  { sites, credentials }: Inventory,
  log: Logger,
  closers: Closers,
): Promise<GatewayProvisioner> {
  let bundle: Promise<GatewayBundle> | undefined;
  const provisioner = createSshProvisioner({
    sites,
    credentials,
    installation: await installationId(redis),
    bundle: () => {
      bundle ??= gatewayBundle(config.gatewayBundle).catch((error: unknown) => {
        bundle = undefined; // the next gateway tries again
        throw error;
      });
      return bundle;
    },
    leaseMs: config.gatewayLeaseMs,
    loginRetryMs: config.loginRetryMs,
    log,
  });
  closers.add('SSH connections', () => provisioner.close());
  return provisioner;
}

/** The configured bundle; in a source tree, the one that its builder makes (and keeps) from apps/gateway. */
async function gatewayBundle(configured: string | undefined): Promise<GatewayBundle> {
  if (configured !== undefined) return await readBundle(configured);
  const builder = new URL('../../gateway/bundle.ts', import.meta.url);
  const loaded: unknown = await import(builder.href).catch((cause: unknown) => {
    throw new LmasError('GATEWAY_START_FAILED', 'There is no gateway bundle.', {
      cause,
      remedy: 'Set LMAS_GATEWAY_BUNDLE to the gateway’s tar.gz.',
    });
  });
  const { buildGatewayBundle } = loaded as { buildGatewayBundle(): Promise<{ path: string }> };
  return await readBundle((await buildGatewayBundle()).path);
}

async function redisReadiness(redis: Redis): Promise<{ name: string; ok: boolean; detail: string }> {
  const answered = redis.ping().then(
    () => true,
    () => false,
  );
  const ok = await Promise.race([answered, sleep(1_000, false, { ref: false })]);
  return { name: 'redis', ok, detail: ok ? 'answers' : 'does not answer' };
}

/** The command: settings from the environment, ends on SIGTERM and SIGINT. */
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

async function serve(): Promise<void> {
  if (process.argv.includes('--help')) {
    console.log(`lmas-orchestrator ${VERSION}\n\n${describeSettings()}`);
    return;
  }
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
  const log = createLog(config.logLevel);
  for (const { variable, meant } of unknownSettings(process.env)) {
    log.warn({}, `${variable} is no setting${meant === undefined ? '.' : `; did you mean ${meant}?`} See --help.`);
  }
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (stopping.signal.aborted) return;
      log.info({ signal: name }, 'stopping');
      stopping.abort(new LmasError('INTERRUPTED', 'It was told to end while it started.'));
    });
  }
  const orchestrator = await startOrchestrator(config, log, {}, { signal: stopping.signal }).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
    log.info({}, describeError(error).message);
    process.exit(0);
  });
  const stop = () => void orchestrator.stop().then(() => process.exit(0));
  if (stopping.signal.aborted) return stop();
  stopping.signal.addEventListener('abort', stop, { once: true });
  log.info({ url: orchestrator.url, apiKeyFile: orchestrator.apiKeyFile, version: VERSION }, 'ready');
}

if (import.meta.main) await main();
