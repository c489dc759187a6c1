/**
 * What the routes may call: the services of the orchestrator, and nothing below them.
 */
import type { ApiKeys } from '../access/api-keys.ts';
import type { AuditLog } from '../access/audit.ts';
import type { Authenticator } from '../access/authenticator.ts';
import type { Principal } from '../access/principal.ts';
import type { Projects } from '../access/projects.ts';
import type { Rotation } from '../access/rotation.ts';
import type { Scope } from '../access/scope.ts';
import type { QueueService } from '../admission/service.ts';
import type { PolicyEvents } from '../balancing/events.ts';
import type { BalancingRuns } from '../balancing/runs.ts';
import type { BalancingService } from '../balancing/service.ts';
import type { Diagnosis } from '../diagnosis/diagnosis.ts';
import type { LiveGateways } from '../gateways/live-gateways.ts';
import type { testGatewayMachine } from '../gateways/machine-test.ts';
import type { LinkTester } from '../links/link-test.ts';
import type { LinkService } from '../links/links.ts';
import type { Timetables } from '../links/timetables.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { LogLine } from '../observability/recent-log.ts';
import type { RunEvents } from '../plans/run-events.ts';
import type { PlanRunService } from '../plans/runs.ts';
import type { PlanService } from '../plans/service.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { ScheduleService } from '../schedules/service.ts';
import type { HostKeyPins } from '../sites/host-keys.ts';
import type { WebhookService } from '../webhooks/service.ts';

type GatewayTest = Awaited<ReturnType<typeof testGatewayMachine>>;

export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface Services {
  readonly authenticator: Authenticator;
  /** Migrations and their events, credentials, sites and endpoints, as far as this caller sees them. */
  seenBy(caller: Pick<Principal, 'project'>): Scope;
  readonly apiKeys: ApiKeys;
  readonly projects: Projects;
  readonly audit: AuditLog;
  readonly rotation: Rotation;
  readonly hostKeyPins: HostKeyPins;
  readonly plugins: PluginRegistry;
  readonly queue: QueueService;
  readonly links: LinkService;
  readonly linkTester: LinkTester;
  readonly timetables: Timetables;
  readonly gateways: LiveGateways;
  readonly diagnosis: Diagnosis;
  settings(): { variable: string; value: string | null; isDefault: boolean }[];
  processLog(): LogLine[];
  /** Looks at the gateway machine of a site. A failure is the answer, not an error. */
  testGatewayMachine(site: string, options: { signal: AbortSignal }): Promise<GatewayTest>;
  readonly plans: PlanService;
  readonly planRuns: PlanRunService;
  readonly planRunEvents: RunEvents;
  readonly schedules: ScheduleService;
  readonly balancing: BalancingService;
  readonly balancingEvents: PolicyEvents;
  readonly balancingRuns: Pick<BalancingRuns, 'get'>;
  readonly webhooks: WebhookService;
  readonly metrics: Pick<Metrics, 'exposition'>;
  /** The SSH host keys that a host shows now. */
  scanHostKeys(host: string, port: number, options: { signal: AbortSignal }): Promise<HostKey[]>;
  /** Why no call can be answered now, in words; `undefined` while they can. */
  outage(): string | undefined;
  readiness(): Promise<ReadinessCheck[]>;
  /** Aborts, with what callers are told, when the process begins to end. */
  readonly stopping: AbortSignal;
}

export interface HostKey {
  readonly type: string;
  readonly fingerprint: string;
}
