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
import type { LiveGateways } from '../gateways/live-gateways.ts';
import type { LinkTester } from '../links/link-test.ts';
import type { LinkService } from '../links/links.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { HostKeyPins } from '../sites/host-keys.ts';
import type { WebhookService } from '../webhooks/service.ts';

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
  readonly gateways: LiveGateways;
  readonly webhooks: WebhookService;
  readonly metrics: Pick<Metrics, 'exposition'>;
  /** The SSH host keys that a host shows now. */
  scanHostKeys(host: string, port: number, options: { signal: AbortSignal }): Promise<HostKey[]>;
  /** Whether calls can be answered at all now. */
  isAvailable(): boolean;
  readiness(): Promise<ReadinessCheck[]>;
}

export interface HostKey {
  readonly type: string;
  readonly fingerprint: string;
}
