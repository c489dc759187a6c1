/** Names for the shapes of the API, each taken from the route that carries it, so that they follow the document. */
import type { components, paths } from './schema.ts';

type Json<Content> = Content extends { content: { 'application/json': infer Body } } ? Body : never;
type Answer<Operation, Status extends number> = Operation extends { responses: Record<Status, infer Response> }
  ? Json<Response>
  : never;
type Body<Operation> = Operation extends { requestBody: infer Request } ? Json<Request> : never;

export type SiteInput = Body<paths['/v1/sites']['post']>;
export type Site = Answer<paths['/v1/sites/{id}']['get'], 200>;
export type SiteChange = Body<paths['/v1/sites/{id}']['patch']>;
export type PlaceLimits = Answer<paths['/v1/sites/{id}/limits']['get'], 200>;
export type EndpointInput = Body<paths['/v1/endpoints']['post']>;
export type Endpoint = Answer<paths['/v1/endpoints/{id}']['get'], 200>;
export type EndpointChange = Body<paths['/v1/endpoints/{id}']['patch']>;
export type CredentialInput = Body<paths['/v1/credentials']['post']>;
export type Credential = Answer<paths['/v1/credentials']['post'], 201>;
export type HostKeyScan = Answer<paths['/v1/host-key-scans']['post'], 200>;
export type Inventory = Answer<paths['/v1/endpoints/{id}/inventory']['get'], 200>;
export type Vm = Inventory['vms'][number];
export type Host = Inventory['hosts'][number];
export type Storage = Inventory['storage'][number];
export type Plugin = Answer<paths['/v1/plugins']['get'], 200>['items'][number];
export type MigrationInput = Body<paths['/v1/migrations']['post']>;
export type Migration = Answer<paths['/v1/migrations/{id}']['get'], 200>;
export type MigrationList = Answer<paths['/v1/migrations']['get'], 200>;
export type MigrationListQuery = NonNullable<paths['/v1/migrations']['get']['parameters']['query']>;
export type MigrationLogEntry = Answer<paths['/v1/migrations/{id}/log']['get'], 200>['items'][number];
export type MigrationCheck = Answer<paths['/v1/migration-checks']['post'], 200>;
export type GiveUpRequest = Body<paths['/v1/migrations/{id}/give-up-teardown']['post']>;
export type DoneByHandRequest = Body<paths['/v1/migrations/{id}/done-by-hand']['post']>;
export type MigrationChange = Body<paths['/v1/migrations/{id}']['patch']>;
export type EndpointTest = Answer<paths['/v1/endpoints/{id}/test']['post'], 200>;
/** openapi-fetch reads tuples as arrays. */
export type Link = Omit<Answer<paths['/v1/links/{id}']['get'], 200>, 'sites'> & { readonly sites: string[] };
export type LinkChange = Body<paths['/v1/links/{id}']['patch']>;
export type Queue = Answer<paths['/v1/queue']['get'], 200>;
export type QueueChange = Body<paths['/v1/queue']['patch']>;
export type Gateway = Answer<paths['/v1/gateways']['get'], 200>['items'][number];
export type BalancingPolicy = Answer<paths['/v1/balancing-policies/{id}']['get'], 200>;
export type BalancingPolicyInput = Body<paths['/v1/balancing-policies']['post']>;
export type BalancingPolicySettings = Body<paths['/v1/balancing-policies/{id}']['put']>;
export type BalancingPass = Answer<paths['/v1/balancing-policies/{id}/run']['post'], 200>;
export type BalancingMove = Answer<paths['/v1/balancing-policies/{id}/moves']['get'], 200>['items'][number];
export type BalancingRun = Answer<paths['/v1/balancing-runs/{id}']['get'], 200>;
export type BalancingMoveState = BalancingMove['state'];
export type Webhook = Answer<paths['/v1/webhooks/{id}']['get'], 200>;
export type NewWebhook = Answer<paths['/v1/webhooks']['post'], 201>;
export type WebhookInput = Body<paths['/v1/webhooks']['post']>;
export type WebhookChange = Body<paths['/v1/webhooks/{id}']['patch']>;
export type WebhookDeliveryList = Answer<paths['/v1/webhooks/{id}/deliveries']['get'], 200>;
export type WebhookDelivery = WebhookDeliveryList['items'][number];
export type TimetableInput = Body<paths['/v1/links/{id}/bandwidth-timetable']['put']>;
export type Timetable = Answer<paths['/v1/links/{id}/bandwidth-timetable']['get'], 200>;
export type ScheduleInput = Body<paths['/v1/schedules']['post']>;
export type ScheduleChange = Body<paths['/v1/schedules/{id}']['patch']>;
export type Schedule = Answer<paths['/v1/schedules/{id}']['get'], 200>;
export type ScheduleList = Answer<paths['/v1/schedules']['get'], 200>;
export type SchedulePreview = Answer<paths['/v1/schedules/{id}/preview']['get'], 200>;
export type ScheduleHistoryEntry = Answer<paths['/v1/schedules/{id}/history']['get'], 200>['items'][number];
export type PlanInput = Body<paths['/v1/plans/{id}']['put']>;
export type Plan = Answer<paths['/v1/plans/{id}']['get'], 200>;
export type PlanList = Answer<paths['/v1/plans']['get'], 200>;
export type PlanRunMode = Body<paths['/v1/plans/{id}/runs']['post']>['mode'];
export type PlanRun = Answer<paths['/v1/plan-runs/{id}']['get'], 200>;
export type PlanRunList = Answer<paths['/v1/plan-runs']['get'], 200>;
export type PlanReport = Answer<paths['/v1/plan-runs/{id}/report']['get'], 200>;
export type EvacuationInput = Body<paths['/v1/evacuations']['post']>;
/** What a fail-back leaves as it is. */
export type FailBackInput = Body<paths['/v1/plan-runs/{id}/fail-back']['post']>;
export type Convergence = Migration['request']['convergence'];
export type Phase = Migration['phase'];
export type Where = Migration['where'];
export type Finding = Migration['findings'][number];
export type Progress = NonNullable<Migration['progress']>;
export type TunnelStats = NonNullable<Migration['tunnel']>;
export type LinkTestInput = Body<paths['/v1/link-tests']['post']>;
export type LinkTest = Answer<paths['/v1/link-tests']['post'], 200>;
export type Readiness = Answer<paths['/readyz']['get'], 200>;
export type Diagnosis = Answer<paths['/v1/diagnosis']['get'], 200>;
export type DiagnosisCheck = Diagnosis['checks'][number];
export type GatewayTest = Answer<paths['/v1/sites/{id}/gateway-test']['post'], 200>;
export type Setting = Answer<paths['/v1/settings']['get'], 200>['items'][number];
export type ProcessLogLine = Answer<paths['/v1/process-log']['get'], 200>['items'][number];
export type Version = Answer<paths['/v1/version']['get'], 200>;

export type Caller = Answer<paths['/v1/caller']['get'], 200>;
export type Role = Caller['role'];
export type ApiKey = Answer<paths['/v1/api-keys/{id}']['get'], 200>;
export type ApiKeyInput = Body<paths['/v1/api-keys']['post']>;
export type NewApiKey = Answer<paths['/v1/api-keys']['post'], 201>;
export type Project = Answer<paths['/v1/projects/{id}']['get'], 200>;
export type ProjectInput = Body<paths['/v1/projects']['post']>;
export type ProjectUpdate = Body<paths['/v1/projects/{id}']['patch']>;
export type AuditList = Answer<paths['/v1/audit']['get'], 200>;
export type AuditEntry = AuditList['items'][number];
export type AuditQuery = NonNullable<paths['/v1/audit']['get']['parameters']['query']>;
export type MasterKey = Answer<paths['/v1/master-key']['get'], 200>;
export type MasterKeyRotation = Answer<paths['/v1/master-key/rotate']['post'], 200>;
export type HostKeyPins = Body<paths['/v1/sites/{id}/host-keys']['put']>;

/** One entry of a migration's event stream; `migration` is the whole record as of this event. */
export interface MigrationEvent {
  readonly at: string;
  readonly type: 'phase' | 'progress' | 'finding' | 'log' | 'error' | 'cancel-requested' | 'end';
  readonly message: string;
  readonly migration: Migration;
}

/** One of what is told of everything: its `type` says of what, and what it was about is a summary as of this notice. */
export type Notice = components['schemas']['Notice'];
export type MigrationSummary = components['schemas']['MigrationSummary'];

/** One entry of a run's event stream; `run` is the run in short as it was when the event was sent. */
export type PlanRunEvent = components['schemas']['PlanRunEvent'];
/** One entry of a balancing policy's event stream. */
export type BalancingNotice = components['schemas']['BalancingNotice'];

/** Phases that a migration never leaves. */
const OUTCOMES: ReadonlySet<Phase> = new Set<Phase>(['succeeded', 'failed', 'cancelled']);

/**
 * The source was asked for the VM and did not know it. Where the VM is stays `unknown` of others too: of those that ended before
 * anybody could look.
 */
export function wasNotFound({ error }: Pick<Migration, 'error'>): boolean {
  return error?.code === 'VM_NOT_FOUND';
}

/** Whether somebody has to do what `byHand` says, and has not said yet that it is done. */
export function asksForHand({ byHand, doneByHand }: Pick<Migration, 'byHand' | 'doneByHand'>): boolean {
  return byHand !== null && doneByHand === null;
}

export function hasEnded(migration: Pick<Migration, 'phase'>): boolean {
  return OUTCOMES.has(migration.phase);
}
