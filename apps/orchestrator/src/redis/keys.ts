/**
 * Every name in Redis, in one place. The hash tag `{lmas}` keeps them in one slot of a cluster, so that a script may
 * touch several.
 *
 *   {lmas}:migration:<id>   hash    record (JSON), version, token, writeId, writes, phase, cancelRequestedAt, pointOfNoReturnAt,
 *                                   givenUp, doneByHand, need (what its check found: hosts, addresses), handedBack (1: by its last
 *                                   run, in order)
 *   {lmas}:journal:<id>     hash    resource key → JSON; `release` leaves the entry, marked
 *   {lmas}:events:<id>      stream  one entry per event (what changes, see stored-event.ts), trimmed; expires some time after the end
 *   {lmas}:events:<id>:course stream the whole course of one migration, thinned out (see migrations/course.ts); expires with its events
 *   {lmas}:log:<id>         stream  what its runs logged (see observability/log-entry.ts), trimmed; stays with the record
 *   {lmas}:lease:<id>       string  run id of the worker that has the migration; expires when it dies
 *   {lmas}:vm:<…>           string  id of the one live migration of a VM
 *   {lmas}:feed             stream  one short notice per change of any migration, for webhooks and whoever follows all
 *   {lmas}:migrations       zset    every id by creation time
 *   {lmas}:index:<field>:…  zset    ids by creation time that have this in that field, for lists
 *   {lmas}:live             set     ids that have not ended
 *   {lmas}:running          set     live ids that a worker has taken up, and has not handed back since
 *   {lmas}:incomplete       set     ended ids of which something could not be taken down yet
 *   {lmas}:queue-deadlines  zset    ids that wait for a worker or their hosts, by when they have waited too long; drills that are kept, by when they are undone
 *   {lmas}:waiting          zset    ids that wait for a place, in their order
 *   {lmas}:waiting:lanes    zset    the same, lane by lane, sorted as text (see admission/groups.ts)
 *   {lmas}:waiting:entries  hash    id → its entry in the lanes
 *   {lmas}:paused-at        string  since when nothing is started
 *   {lmas}:places           hash    id of each migration that holds its places → its lane
 *   {lmas}:places:taken     hash    group → places taken
 *   {lmas}:places:limits    hash    group → places there are
 *   {lmas}:kept-pairs       hash    pair of hosts → id of an ended migration of which there is still something to be taken down
 *   {lmas}:bandwidth        hash    group or migration → bytes per second, where there is a limit
 *   {lmas}:bandwidth-timetables hash group → bandwidth by the time of day (JSON)
 *   {lmas}:links            hash    link → what was set for it (JSON)
 *   {lmas}:link-measurements hash   <source>~<destination> → what was measured (JSON)
 *   {lmas}:webhooks-feed    hash    how many notices of the feed were read for webhooks, how many they missed, and when last
 *   {lmas}:webhooks-pending zset    ids of deliveries that are not done, by when their next attempt is due (in a line: when to look)
 *   {lmas}:webhooks-turns   zset    webhook → until when its turn is taken (see webhooks/turns.ts)
 *   {lmas}:webhook-line:<webhook> zset ids of deliveries that are due and wait for the webhook's turn, by when they fell due
 *   {lmas}:sites …          hash    name → JSON
 *   {lmas}:write-probe      string  nothing: whether it can be written is what is asked; expires
 *   {lmas}:store            hash    version of the records, and who can read them (see upgrades/store-version.ts)
 *   {lmas}:<kind>:<id>      hash    of schedules, plans and their runs: record (JSON), version, writeId, token, seat
 *   {lmas}:<kind>s          zset    their ids by creation time
 *   {lmas}:<kind>s:attention zset   those at which somebody has to look, by when
 *   {lmas}:<kind>s:seat:…   string  id of the one that has it: the run that moves the VMs of a plan
 *   {lmas}:<kind>:<id>:log  stream  what happened to one, trimmed
 *   {lmas}:balancing:memory hash    policy → what it remembers from pass to pass (JSON)
 *   {lmas}:balancing:passes:<policy> list  JSON, the newest first, trimmed
 *   {lmas}:balancing:moves:<policy>  hash  move → JSON
 *   {lmas}:balancing:events:<policy> stream what is told of it, trimmed
 *   {lmas}:balancing:lease:<policy>  string  who looks after it now; expires when that one dies
 */
export const PREFIX = '{lmas}';

/**
 * Of the feed. Long enough for a webhook dispatcher, or a reader of everything, that was away for a while: 10,000 migrations, from the queue
 * to their ends. In Redis one takes some 600 bytes, with a long error the double.
 */
export const MAX_NOTICES = 100_000;

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
  /** Ids of the migrations that share something; and who is at taking it away. */
  holders: (name: string) => `${PREFIX}:holders:${name}`,
  /** Of those that have asked for it and were not answered yet, by when. */
  pendingHolders: (name: string) => `${PREFIX}:pending-holders:${name}`,
  takingAway: (name: string) => `${PREFIX}:taking-away:${name}`,
  migrations: `${PREFIX}:migrations`,
  /** Ids of the migrations of which `field` is, or was when it was indexed, `value`. */
  index: (field: string, value: string) => `${PREFIX}:index:${field}:${value}`,
  /** Those that only a person can bring further: the one index, beside those of phases, that a migration leaves again. */
  needsPerson: `${PREFIX}:index:needs:person`,
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
  keptPairs: `${PREFIX}:kept-pairs`,
  bandwidth: `${PREFIX}:bandwidth`,
  /** Group → its bandwidth by the time of day; → what was set of it last. */
  timetables: `${PREFIX}:bandwidth-timetables`,
  timetablesApplied: `${PREFIX}:bandwidth-timetables:applied`,
  links: `${PREFIX}:links`,
  linkMeasurements: `${PREFIX}:link-measurements`,
  /** Of one kind of versioned records, see versioned-table.ts. */
  versioned: (kind: string) => ({
    record: (id: string) => `${PREFIX}:${kind}:${id}`,
    all: `${PREFIX}:${kind}s`,
    attention: `${PREFIX}:${kind}s:attention`,
    log: (id: string) => `${PREFIX}:${kind}:${id}:log`,
    /** Something has come into its log. */
    channel: (id: string) => `${PREFIX}:event:${kind}:${id}`,
    index: (field: string, value: string) => `${PREFIX}:index:${kind}:${field}:${value}`,
    /** Something that one of them has at a time. */
    seat: (seat: string) => `${PREFIX}:${kind}s:seat:${seat}`,
  }),
  /** Which process works on a run of a plan now. */
  planRunHold: (id: string) => `${PREFIX}:plan-run:${id}:hold`,
  sites: `${PREFIX}:sites`,
  endpoints: `${PREFIX}:endpoints`,
  credentials: `${PREFIX}:credentials`,
  apiKeys: `${PREFIX}:api-keys`,
  /** Key id → when it was last used. */
  apiKeyUses: `${PREFIX}:api-key-uses`,
  /** `claim`: who makes the first key now. */
  firstKey: `${PREFIX}:first-key`,
  projects: `${PREFIX}:projects`,
  /** `sealing`: id of the master key that everybody seals with (access/sealing-key.ts). */
  masterKey: `${PREFIX}:master-key`,
  rotationLock: `${PREFIX}:master-key-rotation`,
  writeProbe: `${PREFIX}:write-probe`,
  /** Streams: what callers did who are bound to no project (earlier versions: all callers), those of one project, and strangers. */
  audit: `${PREFIX}:audit`,
  auditOf: (project: string) => `${PREFIX}:audit:${project}`,
  auditStrangers: `${PREFIX}:audit-strangers`,
  /** Gives out the ids of all of them. */
  auditIds: `${PREFIX}:audit-ids`,
  installation: `${PREFIX}:installation`,
  store: `${PREFIX}:store`,
  webhooks: `${PREFIX}:webhooks`,
  /** Webhook → since when nothing got through; → why nothing is sent any more. */
  webhooksFailing: `${PREFIX}:webhooks-failing`,
  webhooksDisabled: `${PREFIX}:webhooks-disabled`,
  /** How far the feed was read for webhooks, and what they missed of it (webhooks/feed-group.ts). */
  webhooksFeed: `${PREFIX}:webhooks-feed`,
  /** Ids of the deliveries that are pending, by when their next attempt is due. */
  webhooksPending: `${PREFIX}:webhooks-pending`,
  /** Whose turn it is at each webhook, and who waits for it (webhooks/turns.ts). */
  webhooksTurns: `${PREFIX}:webhooks-turns`,
  webhookLine: (webhook: string) => `${PREFIX}:webhook-line:${webhook}`,
  webhookDelivery: (id: string) => `${PREFIX}:webhook-delivery:${id}`,
  /** The log of one: ids of all its deliveries by when they were made; of those that are done, by when they were. */
  webhookDeliveries: (webhook: string) => `${PREFIX}:webhook-deliveries:${webhook}`,
  webhookDone: (webhook: string) => `${PREFIX}:webhook-done:${webhook}`,
  balancingPolicies: `${PREFIX}:balancing:policies`,
  balancingMemory: `${PREFIX}:balancing:memory`,
  balancingPasses: (policy: string) => `${PREFIX}:balancing:passes:${policy}`,
  balancingMoves: (policy: string) => `${PREFIX}:balancing:moves:${policy}`,
  balancingEvents: (policy: string) => `${PREFIX}:balancing:events:${policy}`,
  /** Something is told of the policy. */
  balancingChannel: (policy: string) => `${PREFIX}:event:balancing:${policy}`,
  balancingLease: (policy: string) => `${PREFIX}:balancing:lease:${policy}`,
  idempotency: (keyHash: string) => `${PREFIX}:idempotency:${keyHash}`,
  linkTest: (id: string) => `${PREFIX}:link-test:${id}`,
  /** Channels: a migration has a new event; a migration, or the run that is at it, shall stop. */
  eventChannel: (id: string) => `${PREFIX}:event:${id}`,
  feedChannel: `${PREFIX}:event:feed`,
  eventPattern: `${PREFIX}:event:*`,
  cancelChannel: `${PREFIX}:cancel`,
  /** Something may start now that could not before; or a share of bandwidth has changed. */
  admissionChannel: `${PREFIX}:admission`,
  queuePrefix: `${PREFIX}:queue`,
} as const;
