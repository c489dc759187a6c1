/**
 * What can be asked of migrations: the one door for HTTP, schedules and whoever else. It checks a request against what
 * is registered, stores the record, and hands it to the queue.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { projectSees } from '../access/principal.ts';
import type { Admission } from '../admission/admission.ts';
import type { LaneFinder } from '../admission/lanes.ts';
import { describeError, errorCode, LmasError } from '../errors.ts';
import type { BandwidthLimits } from '../links/bandwidth-limits.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import type { migrationListQuerySchema } from '../schemas/migration-list.ts';
import { type MigrationLogEntry, parseLogEntry } from '../schemas/migration-log.ts';
import type { Inventory } from '../sites/sites.ts';
import type { Changes, MigrationChanges } from './changes.ts';
import { labelIndex, type PageMark } from './index-search.ts';
import { isOutcome } from './phases.ts';
import { type Migration, type MigrationInput, newMigrationId, newRecord } from './record.ts';
import type { MigrationStore } from './store.ts';

/** What the service needs of the queue. */
export interface Hurrier {
  hurry(id: string, reason: string): Promise<void>;
}

/** `project`: only what belongs to it; null: everything. */
export type ListQuery = z.output<typeof migrationListQuerySchema> & { readonly project: string | null };

export interface MigrationService {
  /**
   * Accepts a migration. With an idempotency key, the same request is accepted once and answered with the same migration
   * for as long as the key is remembered, whatever has become of what it names.
   * @throws LmasError UNKNOWN_REFERENCE, SAME_ENDPOINT, DIFFERENT_PLUGINS, INVALID_OPTIONS, NO_GATEWAY, NO_LISTENER,
   * VM_ALREADY_MIGRATING, IDEMPOTENCY_KEY_REUSED
   */
  create(
    input: MigrationInput,
    options: { idempotencyKey?: string | undefined; project: string | null },
  ): Promise<Migration>;
  /** Everything `create` refuses, without creating. */
  validate(input: MigrationInput): Promise<void>;
  /** @throws LmasError MIGRATION_NOT_FOUND */
  get(id: string): Promise<Migration>;
  /** What its runs logged, the oldest first. @throws LmasError MIGRATION_NOT_FOUND */
  log(id: string): Promise<MigrationLogEntry[]>;
  /** Those that have not ended. */
  live(project: string | null): Promise<Migration[]>;
  /** Those that wait, the first to be started first. @throws LmasError INVALID_CURSOR */
  waiting(
    query: { readonly limit: number; readonly cursor?: string | undefined },
    project: string | null,
  ): Promise<{ items: Migration[]; nextCursor: string | null }>;
  list(query: ListQuery): Promise<{ items: Migration[]; nextCursor: string | null }>;
  /**
   * Asks for the same once more, whatever went wrong: a new migration with the same request, which names this one in
   * `retryOf` and belongs to the same project. @throws LmasError MIGRATION_NOT_FOUND, NOTHING_TO_RETRY when it has not
   * ended or has succeeded, and whatever `create` throws
   */
  retry(id: string, options: { idempotencyKey?: string | undefined }): Promise<Migration>;
  /**
   * Asks for a change: what waits begins with it, what runs gets it within a second or so. What is not named stays.
   * @throws LmasError MIGRATION_NOT_FOUND, ALREADY_ENDED, PAST_POINT_OF_NO_RETURN
   */
  change(id: string, changes: MigrationChanges): Promise<Migration>;
  /** Idempotent. @throws LmasError MIGRATION_NOT_FOUND, ALREADY_ENDED, PAST_POINT_OF_NO_RETURN */
  cancel(id: string): Promise<Migration>;
}

export function createMigrationService(
  redis: Redis,
  store: MigrationStore,
  queue: Hurrier,
  {
    inventory,
    plugins,
    admission,
    laneOf,
    changes,
    bandwidth,
    idempotencyMs,
  }: {
    inventory: Inventory;
    plugins: PluginRegistry;
    admission: Admission;
    laneOf: LaneFinder;
    changes: Changes;
    bandwidth: Pick<BandwidthLimits, 'set'>;
    idempotencyMs: number;
  },
): MigrationService {
  /** The records with what stands beside them: why those that wait do, and what was asked for since. One round trip. */
  const getMany = async (ids: readonly string[]): Promise<Migration[]> => {
    const [records, since, reasons] = await Promise.all([
      store.getMany(ids),
      changes.getMany(ids),
      admission.explain(ids),
    ]);
    const changed = new Map(ids.map((id, index) => [id, since[index] ?? {}]));
    return records.map((record) => {
      const waiting = record.phase === 'queued' ? reasons.get(record.id) : undefined;
      const explained = waiting === undefined ? null : { ...waiting, blockedBy: [...waiting.blockedBy] };
      return { ...record, changes: changed.get(record.id) ?? {}, waiting: explained };
    });
  };
  const get = async (id: string): Promise<Migration> => {
    const [found] = await getMany([id]);
    if (found === undefined) throw new LmasError('MIGRATION_NOT_FOUND', `There is no migration ${id}.`);
    return found;
  };
  const validate = async (input: MigrationInput) => await checkReferences(input, inventory, plugins);

  const create = async (
    input: MigrationInput,
    { idempotencyKey, ...of }: { idempotencyKey?: string | undefined; project: string | null; retryOf?: string },
  ): Promise<Migration> => {
    const reservation =
      idempotencyKey === undefined
        ? undefined
        : reservationFor({ project: of.project, idempotencyKey }, { ...input, ...of });
    const former = reservation === undefined ? undefined : await reservedId(redis, reservation);
    if (former !== undefined && (await store.get(former)) !== undefined) return await get(former);
    const { plugin, ...sites } = await validate(input);
    const id = reservation === undefined ? newMigrationId() : await reserveId(redis, reservation, idempotencyMs);
    const record = newRecord(id, input, sites, [keys.vmByName(input.source, input.vm)], { ...of, plugin });
    const lane = await laneOf(record.migration);
    // Before the record: a migration must not begin without its limit. Set again, it is the same.
    if (input.bandwidthBytesPerSec !== null) await bandwidth.set(id, input.bandwidthBytesPerSec);
    try {
      await store.create(record, lane);
    } catch (error) {
      // Only after a refusal: a lost reply says nothing of whether there is a record.
      if (errorCode(error) === 'VM_ALREADY_MIGRATING') await bandwidth.set(id, null);
      throw error;
    }
    return await get(id);
  };

  return {
    get,
    async validate(input) {
      await validate(input);
    },
    async log(id) {
      await get(id);
      return (await store.readLog(id)).map(parseLogEntry);
    },
    create: (input, options) => create(input, options),
    async retry(id, { idempotencyKey }) {
      const { request, project, phase } = await get(id);
      if (phase !== 'failed' && phase !== 'cancelled') {
        const why = phase === 'succeeded' ? 'has succeeded' : 'has not ended yet';
        throw new LmasError('NOTHING_TO_RETRY', `Migration ${id} ${why}.`);
      }
      return await create(request, { idempotencyKey, project, retryOf: id });
    },
    async live(project) {
      const all = await store.getMany(await store.live());
      return all.filter((migration) => projectSees(project, migration.project));
    },
    async waiting({ limit, cursor }, project) {
      const first = cursor === undefined ? 0 : parsePlace(cursor);
      const ids = await admission.order(first, limit + 1);
      const shown = await getMany(ids.slice(0, limit));
      return {
        items: shown.filter((migration) => projectSees(project, migration.project)),
        nextCursor: ids.length > limit ? Buffer.from(String(first + limit)).toString('base64url') : null,
      };
    },
    async list({ limit, cursor, ...filters }) {
      const marks = await store.search({
        indexes: indexesFor(filters),
        before: cursor === undefined ? undefined : parseCursor(cursor),
        createdAfterMs: filters.createdAfter === undefined ? undefined : Date.parse(filters.createdAfter),
        createdBeforeMs: filters.createdBefore === undefined ? undefined : Date.parse(filters.createdBefore),
        limit: limit + 1,
      });
      const shown = marks.slice(0, limit);
      const last = marks.length > limit ? shown.at(-1) : undefined;
      return {
        items: await getMany(shown.map(({ id }) => id)),
        nextCursor: last === undefined ? null : cursorAfter(last),
      };
    },
    async change(id, asked) {
      const { phase, pointOfNoReturnAt } = await get(id);
      if (isOutcome(phase) || phase === 'tearing-down') {
        throw new LmasError('ALREADY_ENDED', `Migration ${id} has ended or is being taken down.`);
      }
      if (pointOfNoReturnAt !== null) throw new LmasError('PAST_POINT_OF_NO_RETURN');
      await changes.merge(id, asked);
      if (asked.bandwidthBytesPerSec !== undefined) await bandwidth.set(id, asked.bandwidthBytesPerSec);
      return await get(id);
    },
    async cancel(id) {
      const verdict = await store.requestCancel(id);
      switch (verdict) {
        case 'missing':
          throw new LmasError('MIGRATION_NOT_FOUND', `There is no migration ${id}.`);
        case 'ended':
          throw new LmasError('ALREADY_ENDED', `Migration ${id} has ended or is being taken down.`);
        case 'too-late':
          throw new LmasError('PAST_POINT_OF_NO_RETURN');
        case 'accepted':
        case 'already': {
          const migration = await get(id);
          // One that waits for a slot need not wait for it to be cancelled.
          if (migration.phase === 'queued') await queue.hurry(id, 'cancel');
          return migration;
        }
      }
    },
  };
}

async function checkReferences(input: MigrationInput, inventory: Inventory, plugins: PluginRegistry) {
  if (input.source === input.destination) throw new LmasError('SAME_ENDPOINT');
  const found = await Promise.allSettled([input.source, input.destination].map((id) => inventory.endpoints.get(id)));
  refuseUnknown(found);
  const [source, destination] = found.map((each) => (each.status === 'fulfilled' ? each.value : undefined));
  if (source === undefined || destination === undefined) throw new LmasError('UNKNOWN_REFERENCE');
  if (source.plugin !== destination.plugin) {
    throw new LmasError(
      'DIFFERENT_PLUGINS',
      `${source.id} is ${source.plugin}, ${destination.id} ${destination.plugin}.`,
    );
  }
  const options = plugins.get(source.plugin).optionsSchema.safeParse(input.options);
  if (!options.success) {
    const issues = options.error.issues.map(({ path, message }) => ({ path: ['options', ...path].join('.'), message }));
    throw new LmasError('INVALID_OPTIONS', undefined, { issues });
  }
  if (input.transport === 'tunnel') {
    const [here, there] = await Promise.all([source.site, destination.site].map((id) => inventory.sites.get(id)));
    for (const site of [here, there]) {
      if (site?.gateway === null) {
        throw new LmasError('NO_GATEWAY', `Site ${site.id} has no gateway machine.`, {
          remedy: 'Register one for the site, or ask for transport `direct`.',
        });
      }
    }
    if (!here?.gateway?.listens && !there?.gateway?.listens) throw new LmasError('NO_LISTENER');
  }
  return { source: source.site, destination: destination.site, plugin: source.plugin };
}

/** @throws LmasError UNKNOWN_REFERENCE that names every endpoint that is not there */
function refuseUnknown(found: readonly PromiseSettledResult<unknown>[]): void {
  const reasons: unknown[] = found.flatMap((each) => (each.status === 'rejected' ? [each.reason] : []));
  if (reasons.length === 0) return;
  const missing = reasons.filter((reason) => reason instanceof LmasError && reason.code === 'ENDPOINT_NOT_FOUND');
  if (missing.length < reasons.length) throw reasons.find((reason) => !missing.includes(reason));
  throw new LmasError('UNKNOWN_REFERENCE', missing.map((reason) => describeError(reason).message).join(' '));
}

const reservationSchema = z.object({ request: z.string(), id: z.string() });

interface Reservation {
  /** In Redis. */
  readonly key: string;
  /** Digest of what is asked for. */
  readonly request: string;
}

function reservationFor(
  { project, idempotencyKey }: { project: string | null; idempotencyKey: string },
  asked: object,
): Reservation {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  return { key: keys.idempotency(hash(`${project ?? ''}:${idempotencyKey}`)), request: hash(canonicalJson(asked)) };
}

/** The id that this key of this project stands for already. @throws LmasError IDEMPOTENCY_KEY_REUSED as below */
async function reservedId(redis: Redis, { key, request }: Reservation): Promise<string | undefined> {
  const former = await redis.get(key);
  return former === null ? undefined : idFor(request, former);
}

/**
 * The id that this key of this project stands for from now on.
 * @throws LmasError IDEMPOTENCY_KEY_REUSED when it came with another request before
 */
async function reserveId(redis: Redis, { key, request }: Reservation, ttlMs: number): Promise<string> {
  const id = newMigrationId();
  const former = await redis.set(key, JSON.stringify({ request, id }), 'PX', ttlMs, 'NX', 'GET');
  return former === null ? id : idFor(request, former);
}

function idFor(asked: string, reserved: string): string {
  const { request, id } = reservationSchema.parse(JSON.parse(reserved));
  if (request !== asked) throw new LmasError('IDEMPOTENCY_KEY_REUSED');
  return id;
}

/** The same text for the same value, in whatever order its fields came. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

function indexesFor({
  project,
  phase,
  site,
  endpoint,
  vm,
  label = [],
  correlationId,
}: Omit<ListQuery, 'limit' | 'cursor'>) {
  const named = { phase, site, endpoint, vm, correlation: correlationId };
  return [
    ...Object.entries(named).flatMap(([field, value]) => (value === undefined ? [] : [keys.index(field, value)])),
    ...(project === null ? [] : [keys.index('project', project)]),
    ...[label].flat().map(labelIndex),
  ];
}

const cursorSchema = z.tuple([z.number(), z.string()]);

const cursorAfter = ({ createdAtMs, id }: PageMark): string =>
  Buffer.from(JSON.stringify([createdAtMs, id])).toString('base64url');

/** What waits moves up meanwhile: a page may miss or repeat some. */
function parsePlace(cursor: string): number {
  const place = Buffer.from(cursor, 'base64url').toString('utf8');
  if (!/^\d{1,9}$/.test(place)) throw new LmasError('INVALID_CURSOR');
  return Number(place);
}

function parseCursor(cursor: string): PageMark {
  try {
    const [createdAtMs, id] = cursorSchema.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')));
    return { createdAtMs, id };
  } catch (cause) {
    throw new LmasError('INVALID_CURSOR', undefined, { cause });
  }
}
