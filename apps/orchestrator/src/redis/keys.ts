/**
 * Every name in Redis, in one place. The hash tag `{lmas}` keeps them in one slot of a cluster, so that a script may
 * touch several.
 *
 *   {lmas}:migration:<id>   hash    record (JSON), version, token, writeId, writes, phase, cancelRequestedAt, pointOfNoReturnAt
 *   {lmas}:journal:<id>     hash    resource key → JSON; `release` leaves the entry, marked
 *   {lmas}:events:<id>      stream  one entry per event (what changes, see stored-event.ts), trimmed; expires some time after the end
 *   {lmas}:log:<id>         stream  what its runs logged (see observability/log-entry.ts), trimmed; stays with the record
 *   {lmas}:lease:<id>       string  run id of the worker that has the migration; expires when it dies
 *   {lmas}:vm:<…>           string  id of the one live migration of a VM
 *   {lmas}:feed             stream  one short notice per change of any migration, for webhooks and whoever follows all
 *   {lmas}:migrations       zset    every id by creation time
 *   {lmas}:index:<field>:…  zset    ids by creation time that have this in that field, for lists
 *   {lmas}:live             set     ids that have not ended
 *   {lmas}:running          set     live ids that a worker has taken up at least once
 *   {lmas}:incomplete       set     ended ids of which something could not be taken down yet
 *   {lmas}:queue-deadlines  zset    ids that wait for a worker, by the time at which they have waited too long
 *   {lmas}:waiting          zset    ids that wait for a place, in their order
 *   {lmas}:waiting:lanes    zset    the same, lane by lane, sorted as text (see admission/groups.ts)
 *   {lmas}:waiting:entries  hash    id → its entry in the lanes
 *   {lmas}:paused-at        string  since when nothing is started
 *   {lmas}:places           hash    id of each migration that holds its places → its lane
 *   {lmas}:places:taken     hash    group → places taken
 *   {lmas}:places:limits    hash    group → places there are
 *   {lmas}:bandwidth        hash    group or migration → bytes per second, where there is a limit
 *   {lmas}:links            hash    link → what was set for it (JSON)
 *   {lmas}:link-measurements hash   <source>~<destination> → what was measured (JSON)
 *   {lmas}:sites …          hash    name → JSON
 */
export const PREFIX = '{lmas}';

export const keys = {
  migration: (id: string) => `${PREFIX}:migration:${id}`,
  journal: (id: string) => `${PREFIX}:journal:${id}`,
  events: (id: string) => `${PREFIX}:events:${id}`,
  log: (id: string) => `${PREFIX}:log:${id}`,
  lease: (id: string) => `${PREFIX}:lease:${id}`,
  /** The VM as the request names it, at one endpoint. */
  vmByName: (endpoint: string, name: string) => `${PREFIX}:vm:name:${endpoint}:${name}`,
  /** The VM by the hypervisor's own identifier, wherever it is. */
  vmById: (id: string) => `${PREFIX}:vm:id:${id}`,
  migrations: `${PREFIX}:migrations`,
  /** Ids of the migrations of which `field` is, or was when it was indexed, `value`. */
  index: (field: string, value: string) => `${PREFIX}:index:${field}:${value}`,
  /** What the name of every index of phases begins with. */
  phaseIndexes: `${PREFIX}:index:phase:`,
  feed: `${PREFIX}:feed`,
  /** Id of a migration → what was asked of it after it was submitted. */
  changes: `${PREFIX}:changes`,
  live: `${PREFIX}:live`,
  running: `${PREFIX}:running`,
  incomplete: `${PREFIX}:incomplete`,
  queueDeadlines: `${PREFIX}:queue-deadlines`,
  waiting: `${PREFIX}:waiting`,
  waitingLanes: `${PREFIX}:waiting:lanes`,
  waitingEntries: `${PREFIX}:waiting:entries`,
  pausedAt: `${PREFIX}:paused-at`,
  places: `${PREFIX}:places`,
  placesTaken: `${PREFIX}:places:taken`,
  placeLimits: `${PREFIX}:places:limits`,
  bandwidth: `${PREFIX}:bandwidth`,
  links: `${PREFIX}:links`,
  linkMeasurements: `${PREFIX}:link-measurements`,
  sites: `${PREFIX}:sites`,
  endpoints: `${PREFIX}:endpoints`,
  credentials: `${PREFIX}:credentials`,
  apiKeys: `${PREFIX}:api-keys`,
  /** Key id → when it was last used. */
  apiKeyUses: `${PREFIX}:api-key-uses`,
  projects: `${PREFIX}:projects`,
  rotationLock: `${PREFIX}:master-key-rotation`,
  /** Streams: what callers did, and what strangers tried. */
  audit: `${PREFIX}:audit`,
  auditStrangers: `${PREFIX}:audit-strangers`,
  installation: `${PREFIX}:installation`,
  webhooks: `${PREFIX}:webhooks`,
  /** Webhook → since when nothing got through; → why nothing is sent any more. */
  webhooksFailing: `${PREFIX}:webhooks-failing`,
  webhooksDisabled: `${PREFIX}:webhooks-disabled`,
  webhookDelivery: (id: string) => `${PREFIX}:webhook-delivery:${id}`,
  webhookDeliveries: (webhook: string) => `${PREFIX}:webhook-deliveries:${webhook}`,
  idempotency: (keyHash: string) => `${PREFIX}:idempotency:${keyHash}`,
  linkTest: (id: string) => `${PREFIX}:link-test:${id}`,
  /** Channels: a migration has a new event; a migration shall stop. */
  eventChannel: (id: string) => `${PREFIX}:event:${id}`,
  feedChannel: `${PREFIX}:event:feed`,
  eventPattern: `${PREFIX}:event:*`,
  cancelChannel: `${PREFIX}:cancel`,
  /** Something may start now that could not before; or a share of bandwidth has changed. */
  admissionChannel: `${PREFIX}:admission`,
  queuePrefix: `${PREFIX}:queue`,
} as const;
