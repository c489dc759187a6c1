/**
 * What the routes may call: the services of the orchestrator, and nothing below them.
 */
import type { ApiKeys } from '../access/api-keys.ts';
import type { EndpointConnector } from '../endpoints/connector.ts';
import type { LinkTester } from '../links/link-test.ts';
import type { MigrationChecker } from '../migrations/checks.ts';
import type { EventHub } from '../migrations/events.ts';
import type { MigrationService } from '../migrations/service.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { Inventory } from '../sites/sites.ts';

export interface ReadinessCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface Services {
  readonly apiKeys: ApiKeys;
  readonly inventory: Inventory;
  readonly connector: EndpointConnector;
  readonly plugins: PluginRegistry;
  readonly migrations: MigrationService;
  readonly checker: MigrationChecker;
  readonly events: EventHub;
  readonly links: LinkTester;
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
