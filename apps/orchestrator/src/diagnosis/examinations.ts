/**
 * The examinations of the orchestrator itself. Each reads what is there, judges it, and says what to do; none changes
 * anything.
 */
import { formatBytes } from '@lmas/format';
import type { Redis } from 'ioredis';
import type { ApiKeys } from '../access/api-keys.ts';
import { isUsable } from '../access/api-keys.ts';
import type { AuditLog } from '../access/audit.ts';
import type { Rotation } from '../access/rotation.ts';
import type { QueueService } from '../admission/service.ts';
import type { LinkService } from '../links/links.ts';
import type { MigrationStore } from '../migrations/store.ts';
import type { ReadState } from '../observability/state.ts';
import type { RedisAddress } from '../redis/address.ts';
import { examineDurability } from '../redis/durability.ts';
import type { Room } from '../redis/room.ts';
import type { WriteProbe } from '../redis/write-probe.ts';
import type { SiteStore } from '../sites/sites.ts';
import type { WebhookService } from '../webhooks/service.ts';
import type { Webhooks } from '../webhooks/webhooks.ts';
import { type Check, failed, ok, warning } from './check.ts';
import type { Examination } from './diagnosis.ts';

const DAY_MS = 24 * 3_600_000;
const SOON_MS = 14 * DAY_MS;
const OLD_MEASUREMENT_MS = 30 * DAY_MS;
/** So long it is told that webhooks have missed something. */
const MISSED_MS = 7 * DAY_MS;
const SLOW_REDIS_MS = 50;
/** Leases and time limits are kept by both clocks. */
const CLOCK_TOLERANCE_MS = 1_000;
const NAMED = 5;
const GIB = 2 ** 30;

export interface Subjects {
  readonly redis: Redis;
  readonly redisKind: RedisAddress['kind'];
  readonly readState: ReadState;
  readonly writeRefusal: WriteProbe;
  /** On the disk of the data directory. */
  readonly room: () => Promise<Room>;
  /** How many processes of each kind there are, as far as Redis knows. */
  readonly processes: () => Promise<{ workers: number; schedulers: number }>;
  readonly store: Pick<MigrationStore, 'incomplete'>;
  readonly queue: Pick<QueueService, 'get'>;
  readonly sites: Pick<SiteStore, 'list'>;
  readonly links: Pick<LinkService, 'list'>;
  readonly webhooks: Pick<Webhooks, 'list'>;
  readonly auditLosses: AuditLog['losses'];
  readonly missedNotices: WebhookService['missed'];
  readonly apiKeys: Pick<ApiKeys, 'list'>;
  readonly rotation: Pick<Rotation, 'state'>;
  /** When the certificate in use ends; null: the API speaks plain HTTP. */
  readonly certificateEnds: () => Promise<Date | null>;
  /** Where the API listens. */
  readonly isLoopback: boolean;
}

export function examinationsOf(subjects: Subjects): Examination[] {
  return [
    { name: 'redis settings', examine: () => redisSettings(subjects) },
    { name: 'redis', examine: () => redisAnswers(subjects) },
    { name: 'data directory', examine: () => dataDirectory(subjects) },
    { name: 'clock of redis', examine: () => redisClock(subjects) },
    { name: 'certificate of the API', examine: () => certificate(subjects) },
    { name: 'processes', examine: () => processesAlive(subjects) },
    { name: 'queue', examine: () => queueMoves(subjects) },
    { name: 'migrations', examine: () => whereabouts(subjects) },
    { name: 'teardowns', examine: () => teardowns(subjects) },
    { name: 'links', examine: () => links(subjects) },
    { name: 'webhooks', examine: () => webhooks(subjects) },
    { name: 'audit log', examine: async () => auditLog(subjects) },
    { name: 'API keys', forAdmins: true, examine: () => apiKeys(subjects) },
    { name: 'master key', forAdmins: true, examine: () => masterKey(subjects) },
  ];
}

/** `a, b and 3 more` */
function names(all: readonly string[]): string {
  const shown = all.slice(0, NAMED).join(', ');
  return all.length > NAMED ? `${shown} and ${all.length - NAMED} more` : shown;
}

const day = (date: Date): string => date.toISOString().slice(0, 10);

async function redisSettings({ redis, redisKind }: Subjects): Promise<Check> {
  const name = 'redis settings';
  const { complaints, warnings } = await examineDurability(redis, redisKind);
  const remedy = 'Change its settings (redis.conf, or CONFIG SET and CONFIG REWRITE).';
  if (complaints.length > 0) return failed(name, complaints.concat(warnings).join('; '), remedy);
  if (warnings.length > 0) return warning(name, warnings.join('; '), remedy);
  return ok(name, 'keeps everything on disk at once, and evicts nothing');
}

async function redisAnswers({ readState, writeRefusal }: Subjects): Promise<Check> {
  const name = 'redis';
  const refusal = await writeRefusal().catch(() => undefined); // that it does not answer is said below
  if (refusal !== undefined) return failed(name, `answers, but takes no writes: ${refusal.why}`, refusal.remedy);
  const state = await readState();
  if (state === undefined) return failed(name, 'does not answer', 'See that the server runs and can be reached.');
  const found = `answers after ${state.redisLatencyMs.toFixed(1)} ms`;
  if (state.redisLatencyMs <= SLOW_REDIS_MS) return ok(name, found);
  return warning(name, found, 'Put it nearer, on a faster disk, or on a machine that does less.');
}

/** Where a private Redis lives: it ends when it cannot write. */
async function dataDirectory({ redisKind, room }: Subjects): Promise<Check | Check[]> {
  const name = 'data directory';
  if (redisKind !== 'socket') return [];
  const { freeBytes, sizeBytes } = await room();
  const found = `${formatBytes(freeBytes)} of ${formatBytes(sizeBytes)} free on its disk`;
  // A twentieth, within reason: neither much of a large disk, nor most of a small one.
  const enough = Math.min(Math.max(sizeBytes / 20, GIB / 2), 10 * GIB, sizeBytes / 4);
  if (freeBytes >= enough) return ok(name, found);
  return warning(name, found, 'Make room: the private Redis, and with it everything, stops when it is full.');
}

async function redisClock({ redis }: Subjects): Promise<Check> {
  const name = 'clock of redis';
  const asked = Date.now();
  const [seconds, micros] = await redis.time();
  const theirs = Number(seconds) * 1_000 + Number(micros) / 1_000;
  const answered = Date.now();
  // The answer was made at some moment between question and answer.
  const offMs = Math.round(theirs < asked ? asked - theirs : Math.max(0, theirs - answered));
  if (offMs <= CLOCK_TOLERANCE_MS) return ok(name, 'agrees with that of the orchestrator');
  return warning(name, `${offMs} ms from that of the orchestrator`, 'Let both machines follow NTP.');
}

async function certificate({ certificateEnds, isLoopback }: Subjects): Promise<Check> {
  const name = 'certificate of the API';
  const ends = await certificateEnds();
  if (ends === null) {
    if (isLoopback) return ok(name, 'none: plain HTTP on this machine only');
    const found = 'none: the API listens beyond its machine in plain HTTP, as LMAS_ALLOW_PLAIN_HTTP says';
    return warning(name, found, 'Make sure that a TLS proxy stands before it, or set LMAS_TLS_CERT_FILE.');
  }
  const leftMs = ends.getTime() - Date.now();
  const remedy = 'Replace the files of LMAS_TLS_CERT_FILE and LMAS_TLS_KEY_FILE; they are read again at once.';
  if (leftMs < 0) return failed(name, `expired on ${day(ends)}`, remedy);
  if (leftMs < SOON_MS) return warning(name, `expires on ${day(ends)}`, remedy);
  return ok(name, `valid until ${day(ends)}`);
}

async function processesAlive({ processes }: Subjects): Promise<Check> {
  const name = 'processes';
  const { workers, schedulers } = await processes();
  const found = `${workers} that run migrations, ${schedulers} that look after them`;
  if (workers === 0) return failed(name, found, 'Nothing is run: start a process with --role worker (or all).');
  if (schedulers > 0) return ok(name, found);
  const lacking = 'migrations of a worker that dies are not taken up, and no webhook is sent';
  return failed(name, `${found}: ${lacking}`, 'Start a process with --role scheduler (or all).');
}

async function queueMoves({ queue }: Subjects): Promise<Check> {
  const name = 'queue';
  const { pausedAt, waiting, running, limits } = await queue.get();
  const most = limits.maxMigrations === null ? 'no limit' : `at most ${limits.maxMigrations}`;
  const found = `${waiting} waiting, ${running} running, ${most}`;
  if (pausedAt !== null) return warning(name, `paused since ${pausedAt}; ${found}`, 'lmas queue resume');
  if (limits.maxMigrations === 0) {
    return warning(name, found, 'Nothing can begin: raise the limit of the whole, lmas queue limit.');
  }
  if (waiting > 0 && running === 0) {
    const remedy = 'lmas queue list shows what each waits for.';
    return warning(name, `${found}: nothing runs although something waits`, remedy);
  }
  return ok(name, found);
}

async function whereabouts({ readState }: Subjects): Promise<Check> {
  const name = 'migrations';
  const state = await readState();
  if (state === undefined) return failed(name, 'not known: Redis does not answer', null);
  const under = [...state.migrations].filter(([phase]) => !['succeeded', 'failed', 'cancelled'].includes(phase));
  const found = `${under.reduce((sum, [, count]) => sum + count, 0)} under way`;
  if (state.undecided === 0) return ok(name, found);
  const remedy = 'lmas list shows them; `byHand` of each says what to do. Look at once.';
  return failed(name, `${found}; of ${state.undecided} nobody knows where the VM runs`, remedy);
}

async function teardowns({ store }: Subjects): Promise<Check> {
  const name = 'teardowns';
  const ids = await store.incomplete();
  if (ids.length === 0) return ok(name, 'all complete');
  const remedy = 'lmas get shows what is left over and why; it is tried again by itself.';
  return warning(name, `not complete: ${names(ids)}`, remedy);
}

async function links({ sites, links: service }: Subjects): Promise<Check[]> {
  const tunnelled = new Set((await sites.list()).flatMap(({ id, gateway }) => (gateway === null ? [] : [id])));
  const between = (await service.list()).filter((link) => link.sites.every((site) => tunnelled.has(site)));
  if (between.length === 0) return [ok('links', 'none: no two sites have a gateway machine')];
  return between.map(({ id, sites: ends, measurements }) => {
    const name = `link ${id}`;
    const remedy = `lmas link test ${ends.join(' ')}`;
    const newest = Math.max(...measurements.map(({ measuredAt }) => Date.parse(measuredAt)));
    if (measurements.length === 0) return warning(name, 'was never measured', remedy);
    const found = `measured on ${day(new Date(newest))}`;
    return Date.now() - newest > OLD_MEASUREMENT_MS ? warning(name, `${found}, long ago`, remedy) : ok(name, found);
  });
}

async function webhooks({ webhooks: registry, missedNotices }: Subjects): Promise<Check[]> {
  const [all, missed] = await Promise.all([registry.list(), missedNotices()]);
  const bad = all.flatMap(({ id, disabled, failingSince }): Check[] => {
    const remedy = `lmas webhook deliveries ${id} shows why.`;
    if (disabled !== null) return [warning(`webhook ${id}`, `switched off: ${disabled.reason}`, remedy)];
    return failingSince === null
      ? []
      : [warning(`webhook ${id}`, `nothing gets through since ${failingSince}`, remedy)];
  });
  if (all.length > 0 && missed.at !== null && Date.now() - Date.parse(missed.at) < MISSED_MS) {
    const found = `${missed.count} were never sent, as they were not kept until somebody did; noticed last at ${missed.at}`;
    const remedy = 'Let receivers list anew what they follow; keep a process with --role scheduler (or all) running.';
    bad.push(warning('notices for webhooks', found, remedy));
  }
  return bad.length > 0 ? bad : [ok('webhooks', all.length === 0 ? 'none' : `${all.length}, all get through`)];
}

function auditLog({ auditLosses }: Subjects): Check {
  const name = 'audit log';
  const { count, lastAt } = auditLosses();
  if (count === 0) return ok(name, 'this process has put every entry into it since its start');
  const found = `${count} entries of this process are not in it, the last of ${lastAt}: Redis did not take them`;
  return failed(name, found, 'They stand whole in its log, at error (`this entry is not in the audit log`), with why.');
}

async function apiKeys({ apiKeys: keys }: Subjects): Promise<Check> {
  const name = 'API keys';
  const usable = (await keys.list(null)).filter(isUsable);
  const ending = usable.filter(({ expiresAt }) => expiresAt !== null && Date.parse(expiresAt) - Date.now() < SOON_MS);
  if (ending.length === 0) return ok(name, `${usable.length} in use, none expires soon`);
  const found = `about to expire: ${names(ending.map(({ id, name: of }) => `${id} (${of})`))}`;
  return warning(name, found, 'Make new ones and hand them out (lmas api-key create): a key’s expiry does not change.');
}

async function masterKey({ rotation }: Subjects): Promise<Check> {
  const name = 'master key';
  const { source, current, keys } = await rotation.state();
  if (!keys.some(({ id, known }) => id === current && known)) {
    const found = `${current} seals, and the ${source} of this process does not hold it: no secret can be registered here`;
    return failed(name, found, 'Give it the keys that the others have. Lost for good? lmas master-key rotate');
  }
  const lost = keys.filter(({ known, values }) => !known && values > 0);
  if (lost.length > 0) {
    const count = lost.reduce((sum, { values }) => sum + values, 0);
    const found = `${count} secrets are sealed under keys that the ${source} does not hold: ${names(lost.map(({ id }) => id))}`;
    return failed(name, found, 'Put the former key behind the current one in its source; else register them again.');
  }
  const former = keys.filter(({ id, values }) => id !== current && values > 0);
  if (former.length === 0) return ok(name, `${current}, from the ${source}, seals everything`);
  const found = `${current} seals, and a former one is still needed: ${names(former.map(({ id }) => id))}`;
  return warning(name, found, 'lmas master-key rotate');
}
