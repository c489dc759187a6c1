/** What answers outside: the API with the services behind it, or, in a process that has none, a door that says so. */
import type { Server as TlsServer } from 'node:tls';
import { scanHostKeys } from '@lmas/ssh';
import type { Redis } from 'ioredis';
import { type AuditLog, createAuditLog } from '../access/audit.ts';
import { createQueueService, type QueueService } from '../admission/service.ts';
import { createPolicyEvents } from '../balancing/events.ts';
import { showSettings } from '../config.ts';
import { createDiagnosis, type Diagnosis } from '../diagnosis/diagnosis.ts';
import { examinationsOf } from '../diagnosis/examinations.ts';
import type { Questions } from '../endpoints/questions.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import type { LiveGateways } from '../gateways/live-gateways.ts';
import { testGatewayMachine } from '../gateways/machine-test.ts';
import { followCalls, WorkOfCalls } from '../http/calls-under-way.ts';
import { buildServer } from '../http/server.ts';
import { openServiceDoor } from '../http/service-door.ts';
import type { Services } from '../http/services.ts';
import { endOf, followTlsFiles, readTlsPair } from '../http/tls.ts';
import { createLinkTester } from '../links/link-test.ts';
import type { EventHub } from '../migrations/events.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { ReadState } from '../observability/state.ts';
import { createRunTable } from '../plans/record.ts';
import { createRunEvents } from '../plans/run-events.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { DeliveryQueue } from '../queue/delivery-queue.ts';
import { createQueue, type MigrationQueue } from '../queue/queue.ts';
import { createWakeQueue } from '../queue/wake-queue.ts';
import { roomIn } from '../redis/room.ts';
import { createHostKeyPins } from '../sites/host-keys.ts';
import type { WebhookService } from '../webhooks/service.ts';
import type { Access } from './access.ts';
import { createAutomation, createScopes } from './automation.ts';
import { createBalancingOver } from './balancing.ts';
import type { Base } from './base.ts';
import { type Connections, doorway } from './connections.ts';
import { dashboardSettings } from './dashboard.ts';
import { createMigrationsOver } from './migrations.ts';
import type { Records } from './records.ts';
import { isLoopback, type Tls } from './tls.ts';

const TLS_FILES_INTERVAL_MS = 10_000;

export interface Behind {
  readonly access: Access;
  readonly plugins: PluginRegistry;
  readonly gateways: GatewayProvisioner;
  readonly liveGateways: LiveGateways;
  readonly metrics: Metrics;
  readonly readState: ReadState;
  readonly questions: Questions;
  readonly events: EventHub;
  readonly webhooks: WebhookService;
  readonly deliveries: DeliveryQueue;
}

/** Everything that routes may call, over the connection on which nothing waits. */
export function createServices(
  base: Base,
  tls: Tls | undefined,
  redis: Connections,
  records: Records,
  behind: Behind,
): Services {
  const { config, log, stopping } = base;
  const { calls, outage, readiness } = redis;
  const { inventory, admission, traffic, links } = records;
  const { access, plugins, gateways, liveGateways, metrics, questions, events, webhooks } = behind;
  const queue = createQueue(calls, log);
  base.closers.add('queue of the API', () => queue.close());
  const { migrations, checker } = createMigrationsOver(base, calls, records, { queue, plugins, questions });
  const { authenticator, apiKeys, projects, rotation } = access;
  const seenBy = createScopes(base, calls, records, { queue, plugins, questions, events, projects });
  const wakes = createWakeQueue(calls, log);
  base.closers.add('wake-up queue of the API', () => wakes.close());
  const balancing = createBalancingOver(base, calls, records, { migrations, checker, questions, metrics });
  const automation = createAutomation(base, calls, records, { seenBy, wakes, balancing });
  const { plans, planRuns, schedules, timetables } = automation;
  const audit = auditOver(base, calls, metrics);
  const service = createQueueService(admission, traffic, inventory);
  return {
    ...{ authenticator, apiKeys, projects, rotation, plugins, webhooks, links, metrics, outage, readiness, stopping },
    ...{ seenBy, plans, planRuns, schedules, timetables },
    // Over the connection for work: a stream waits for a Redis that is away, and goes on where it was.
    planRunEvents: createRunEvents(events, createRunTable(redis.work, log)),
    balancingEvents: createPolicyEvents(events, redis.work),
    balancing: balancing.policies,
    balancingRuns: balancing.runs,
    hostKeyPins: createHostKeyPins(calls, plugins),
    audit,
    queue: service,
    diagnosis: diagnosisOf(base, tls, redis, records, { ...behind, service, queue, audit }),
    settings: () => showSettings(config),
    processLog: () => log.recent.lines(),
    testGatewayMachine: (site, options) => testGatewayMachine(gateways, site, options),
    gateways: liveGateways,
    linkTester: createLinkTester(calls, inventory.sites, gateways, links, log),
    scanHostKeys: async (host, port, options) =>
      (await scanHostKeys(host, port, options)).map(({ family, fingerprint }) => ({ type: family, fingerprint })),
  };
}

const auditOver = ({ config, log }: Base, calls: Redis, { auditEntryLost: onLost }: Metrics): AuditLog =>
  createAuditLog(calls, { maxEntries: config.auditMaxEntries, log, onLost });

function diagnosisOf(
  { config }: Base,
  tls: Tls | undefined,
  { calls, address, writeRefusal }: Connections,
  { store, links, inventory }: Records,
  parts: Pick<Behind, 'access' | 'readState' | 'webhooks' | 'deliveries'> & {
    service: QueueService;
    queue: MigrationQueue;
    audit: AuditLog;
  },
): Diagnosis {
  const { access, readState, webhooks, deliveries, service, queue, audit } = parts;
  const { apiKeys, rotation } = access;
  return createDiagnosis(
    examinationsOf({
      ...{ redis: calls, redisKind: address.kind, readState, writeRefusal, store, links, apiKeys, rotation },
      ...{ queue: service, sites: inventory.sites, webhooks: webhooks.webhooks },
      room: () => roomIn(config.dataDir),
      auditLosses: () => audit.losses(),
      missedNotices: () => webhooks.missed(),
      processes: async () => ({ workers: await queue.workers(), schedulers: await deliveries.workers() }),
      isLoopback: isLoopback(config.host),
      certificateEnds: async () => (tls === undefined ? null : endOf(await readTlsPair(tls.files))),
    }),
  );
}

/** @returns where it listens */
export async function serveApi(
  { config, log, closers, stopping }: Base,
  tls: Tls | undefined,
  services: Services,
  { metrics, access }: Pick<Behind, 'metrics' | 'access'>,
): Promise<string> {
  const { trustedProxies } = config;
  const onCall = metrics.callAnswered;
  const dashboard = dashboardSettings(config, access.oidc);
  const work = new WorkOfCalls();
  const audit: AuditLog = { ...services.audit, record: (entry) => work.follow(services.audit.record(entry)) };
  const settings = { log, tls: tls?.pair, trustedProxies, limits: config, onCall, work, dashboard };
  const app = buildServer({ ...services, audit }, settings);
  const underWay = followCalls(app.server, stopping);
  closers.add('http', async () => {
    await underWay.answered();
    underWay.hangUp();
    await app.close();
    await work.ended();
  });
  if (tls !== undefined) {
    const server = app.server as unknown as TlsServer; // Fastify made it from `tls`
    const settings = { current: tls.pair, intervalMs: TLS_FILES_INTERVAL_MS, log };
    const following = followTlsFiles(server, tls.files, settings);
    closers.add('certificate files', async () => following.stop());
  }
  return await app.listen({ host: config.host, port: config.port });
}

/** @returns where it listens */
export async function openDoor(
  base: Base,
  tls: Tls | undefined,
  { calls, outage, readiness }: Connections,
  { authenticator }: Access,
  metrics: Metrics,
): Promise<string> {
  const { config, closers } = base;
  const refusal = () => `This process has the role ${config.role}: the API is served by another one.`;
  const audit = auditOver(base, calls, metrics);
  const guarded = { authenticator, outage, metrics, audit, limits: config };
  const door = await openServiceDoor({ ...doorway(base, tls), readiness, refusal, guarded });
  closers.add('service door', async () => await door[Symbol.asyncDispose]());
  return door.url;
}
