/**
 * What a run needs from the rest of the orchestrator.
 */
import type { RunConnector } from '../endpoints/connector.ts';
import type { GatewayProvisioner } from '../gateways/gateway.ts';
import type { BandwidthKeeper } from '../links/bandwidth-keeper.ts';
import type { LinkService } from '../links/links.ts';
import type { Changes } from '../migrations/changes.ts';
import type { GiveUps } from '../migrations/give-ups.ts';
import type { Holders } from '../migrations/holders.ts';
import type { WordsOfPeople } from '../migrations/needs.ts';
import type { SiteStore } from '../sites/sites.ts';

export interface Tools {
  readonly connector: RunConnector;
  readonly sites: SiteStore;
  readonly gateways: GatewayProvisioner;
  /** What was asked for since the request. */
  readonly changes: Pick<Changes, 'get'>;
  /** What nobody will ever be able to take down, as somebody said. */
  readonly giveUps: Pick<GiveUps, 'get'>;
  /** Of which VMs somebody looks after what only a person can do. */
  readonly words: Pick<WordsOfPeople, 'get'>;
  /** Of what several migrations share at the hypervisors. */
  readonly holders: Holders;
  readonly bandwidth: BandwidthKeeper;
  readonly links: Pick<LinkService, 'note'>;
  readonly settings: WorkflowSettings;
}

export interface WorkflowSettings {
  readonly settleMs: number;
  readonly settleRetryMs: number;
  readonly teardownMs: number;
  readonly gatewayLeaseMs: number;
  /** How long a new tunnel carries throw-away data first; 0: not at all. */
  readonly warmUpMs: number;
  /** How long streams wait for a lost tunnel. */
  readonly tunnelGraceMs: number;
  readonly progressIntervalMs: number;
}
