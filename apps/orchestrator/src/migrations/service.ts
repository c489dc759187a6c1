/**
 * What can be asked of migrations: the one door for HTTP, schedules and whoever else. It checks a request against what
 * is registered, stores the record, and hands it to the queue.
 */
import type { Redis } from 'ioredis';
import { projectSees } from '../access/principal.ts';
import { requirePriority, withinPriority } from '../access/priority.ts';
import type { Projects } from '../access/projects.ts';
import type { Admission } from '../admission/admission.ts';
import type { LaneFinder } from '../admission/lanes.ts';
import { LmasError } from '../errors.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import type { Fence } from '../redis/versioned-table.ts';
import { type MigrationLogEntry, parseLogEntry } from '../schemas/migration-log.ts';
import type { Inventory } from '../sites/sites.ts';
import { inSubmitSpan } from '../tracing/migration-spans.ts';
import type { Changes, MigrationChanges } from './changes.ts';
import type { GiveUps } from './give-ups.ts';
import { reservationFor, reservedId, reserveId } from './idempotency.ts';
import { cursorAfter, cursorOfPlace, indexesFor, type ListQuery, parseCursor, parsePlace } from './listing.ts';
import type { WordsOfPeople } from './needs.ts';
import { isOutcome } from './phases.ts';
import { type Migration, type MigrationInput, newMigrationId, newRecord, now } from './record.ts';
import { checkReferences } from './references.ts';
import type { MigrationStore } from './store.ts';
import { vmLocked } from './store-requests.ts';

/** What the service needs of the queue. */
export interface Hurrier {
  hurry(id: string, reason: string): Promise<void>;
}

export type { ListQuery } from './listing.ts';

export interface CreateOptions {
  readonly idempotencyKey?: string | undefined;
  /**
   * For what the orchestrator itself orders: made from what it is for (`migrationIdFor`), so that it is the same one however often
   * it is ordered; and the order's fence, so that nothing begins that was withdrawn meanwhile.
   */
  readonly order?: { readonly id: string; readonly fence: Fence };
}

export interface MigrationService {
  /**
   * Accepts a migration. With an idempotency key, the same request is accepted once and answered with the same migration
   * for as long as the key is remembered, whatever has become of what it names. The key of a request that was refused is free.
   * @throws LmasError UNKNOWN_REFERENCE, SAME_ENDPOINT, ENDPOINT_CORDONED, DIFFERENT_PLUGINS, INVALID_OPTIONS, NO_GATEWAY, NO_LISTENER,
   * PRIORITY_TOO_HIGH, VM_ALREADY_MIGRATING, PROJECT_QUEUE_FULL, IDEMPOTENCY_KEY_REUSED, WITHDRAWN
   */
  create(input: MigrationInput, options: CreateOptions & { project: string | null }): Promise<Migration>;
  /** Everything `create` refuses, without creating. */
  validate(input: MigrationInput): Promise<void>;
  /**
   * Whether a migration of a VM could be accepted that is known by its id and its name, whatever others are asked for it by.
   * @throws LmasError VM_ALREADY_MIGRATING naming the other one
   */
  requireFree(
    vm: { readonly id: string; readonly name: string },
    source: string,
    project: string | null,
  ): Promise<void>;
  /** @throws LmasError MIGRATION_NOT_FOUND */
  get(id: string): Promise<Migration>;
  /** What its runs logged, the oldest first. @throws LmasError MIGRATION_NOT_FOUND */
  log(id: string): Promise<MigrationLogEntry[]>;
  /** Ids of those that have not ended, or of which something is left to be taken down; null: whosever they are. */
  unfinished(project: string | null): Promise<string[]>;
  /** Those that have not ended and go from or to one of these endpoints. */
  liveAt(endpoints: readonly string[]): Promise<Migration[]>;
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
  /**
   * Has what is left tried once more, and what fails then given up: its sites, endpoints and VM are free again. Idempotent.
   * @throws LmasError MIGRATION_NOT_FOUND, NOTHING_TO_GIVE_UP
   */
  giveUpTeardown(id: string, said: { by: string; reason: string }): Promise<Migration>;
  /**
   * Keeps somebody's word that what `byHand` asks for is done. What was said first stays.
   * @throws LmasError MIGRATION_NOT_FOUND, NOTHING_BY_HAND when nothing is asked for, or the migration has not ended
   */
  markDoneByHand(id: string, said: { by: string; note: string }): Promise<Migration>;
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
    giveUps,
    words,
    projects,
    idempotencyMs,
  }: {
    inventory: Inventory;
    plugins: PluginRegistry;
    admission: Admission;
    laneOf: LaneFinder;
    changes: Changes;
    giveUps: Pick<GiveUps, 'note'>;
    words: WordsOfPeople;
    projects: Pick<Projects, 'limitsOf'>;
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
      // In `queued`, or in what its last attempt had come to when another migration was found to have its hosts.
      const waiting = reasons.get(record.id);
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
    { idempotencyKey, order, ...of }: CreateOptions & { project: string | null; retryOf?: string },
  ): Promise<Migration> => {
    if (order !== undefined && (await store.get(order.id)) !== undefined) return await get(order.id);
    const reservation =
      idempotencyKey === undefined
        ? undefined
        : reservationFor({ project: of.project, idempotencyKey }, { ...input, ...of });
    const former = reservation === undefined ? undefined : await reservedId(redis, reservation);
    if (former !== undefined && (await store.get(former)) !== undefined) return await get(former);
    const { plugin, ...sites } = await validate(input);
    const limits = await projects.limitsOf(of.project);
    if (order === undefined && of.retryOf === undefined) requirePriority(of.project, input, limits);
    const { id, reserved } =
      reservation === undefined
        ? { id: order?.id ?? newMigrationId(), reserved: undefined }
        : await reserveId(redis, reservation, idempotencyMs);
    // A drill that waits holds up no move: it reserves its VM when it begins (workflow/drill.ts).
    const locks = input.drill === null ? [keys.vmByName(input.source, input.vm)] : [];
    await inSubmitSpan(id, async (traceparent) => {
      const request = withinPriority(input, limits);
      const record = newRecord(id, request, sites, locks, { ...of, plugin, traceparent });
      const by = { fence: order?.fence, maxWaiting: limits.maxWaiting, reserved };
      await store.create(record, await laneOf(record.migration), by);
    });
    return await get(id);
  };

  return {
    get,
    async validate(input) {
      await validate(input);
    },
    async requireFree({ id, name }, source, project) {
      const locks = [keys.vmById(id), keys.vmByName(source, id), keys.vmByName(source, name)];
      const [holders, incomplete] = await Promise.all([store.lockedBy(locks), store.incomplete()]);
      for (const holder of holders) {
        const migration = await store.get(holder);
        // One that has just ended gives its VM back with its next write.
        const isOver = migration !== undefined && isOutcome(migration.phase) && !incomplete.includes(holder);
        if (!isOver) throw await vmLocked(store, holder, project);
      }
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
    unfinished: (project) => store.unfinished(project === null ? undefined : keys.index('project', project)),
    async liveAt(endpoints) {
      const ids = await Promise.all(endpoints.map((endpoint) => store.live(keys.index('endpoint', endpoint))));
      return await store.getMany([...new Set(ids.flat())]);
    },
    async waiting({ limit, cursor }, project) {
      const first = cursor === undefined ? 0 : parsePlace(cursor);
      const ids = await admission.order(first, limit + 1);
      const shown = await getMany(ids.slice(0, limit));
      return {
        items: shown.filter((migration) => projectSees(project, migration.project)),
        nextCursor: ids.length > limit ? cursorOfPlace(first + limit) : null,
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
      const verdict = await changes.merge(id, asked);
      if (verdict === 'missing') throw new LmasError('MIGRATION_NOT_FOUND', `There is no migration ${id}.`);
      if (verdict === 'ended')
        throw new LmasError('ALREADY_ENDED', `Migration ${id} has ended or is being taken down.`);
      if (verdict === 'too-late') throw new LmasError('PAST_POINT_OF_NO_RETURN');
      return await get(id);
    },
    async giveUpTeardown(id, said) {
      const migration = await get(id);
      if (migration.teardown === 'given-up') return migration;
      if (!(await giveUps.note(id, { at: now(), ...said }))) {
        throw new LmasError('NOTHING_TO_GIVE_UP', `The teardown of ${id} is ${migration.teardown}.`);
      }
      await queue.hurry(id, 'given-up');
      return await get(id);
    },
    async markDoneByHand(id, said) {
      const { byHand, phase } = await get(id);
      if (byHand === null) throw new LmasError('NOTHING_BY_HAND', `Migration ${id} asks for nothing.`);
      if (!isOutcome(phase)) throw new LmasError('NOTHING_BY_HAND', `Migration ${id} is ${phase}: it is not over yet.`);
      await words.note(id, { at: now(), ...said });
      await queue.hurry(id, 'done-by-hand'); // it may be all that its VM was held for
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
          // One that waits for a slot, for its hosts, or for its time to be over, need not wait for it to be cancelled.
          const isUnattended = migration.phase === 'queued' || migration.phase === 'kept' || migration.waiting !== null;
          if (isUnattended) await queue.hurry(id, 'cancel');
          return migration;
        }
      }
    },
  };
}
