/**
 * What can be asked of schedules: the door for HTTP. It refuses what makes no sense, stores what a person sets, and lets
 * the keeper look at once. Whatever withdraws an order (a pause, a change, a removal) does so in the step that stores it.
 * Names are those of whoever asks (access/owned-names.ts).
 */
import { fullName, ownName } from '../access/owned-names.ts';
import { projectSees } from '../access/principal.ts';
import { LmasError } from '../errors.ts';
import { pageOf, type VersionedTable } from '../redis/versioned-table.ts';
import { scheduleHistoryEntrySchema } from '../schemas/schedule.ts';
import type { ActionKind, Actions } from './actions.ts';
import { complaintsAbout, inOrder } from './complaints.ts';
import { noticesOf } from './notice.ts';
import { type Preview, previewOf } from './preview.ts';
import {
  type HistoryEntry,
  lookAtMs,
  type Schedule,
  type ScheduleAction,
  type ScheduleInput,
  type StoredSchedule,
  shown as shownInFull,
} from './record.ts';

export type ScheduleChange = { readonly [K in Exclude<keyof ScheduleInput, 'id'>]?: ScheduleInput[K] | undefined };

export interface ScheduleService {
  /** @throws LmasError ALREADY_EXISTS, INVALID_SCHEDULE with every reason */
  create(input: ScheduleInput, project: string | null): Promise<Schedule>;
  list(
    query: { readonly limit: number; readonly cursor?: string | undefined },
    project: string | null,
  ): Promise<{ items: Schedule[]; nextCursor: string | null }>;
  /** @throws LmasError SCHEDULE_NOT_FOUND, as all below */
  get(id: string, project: string | null): Promise<Schedule>;
  /** `expect` throws when it is not the version that the caller has seen. @throws LmasError INVALID_SCHEDULE */
  change(
    id: string,
    change: ScheduleChange,
    project: string | null,
    expect: (current: Schedule) => void,
  ): Promise<Schedule>;
  remove(id: string, project: string | null): Promise<void>;
  /** Starts nothing any more; what is under way goes on, what waits is left out. Idempotent. */
  pause(id: string, project: string | null): Promise<Schedule>;
  /** From its next time on. Idempotent. */
  resume(id: string, project: string | null): Promise<Schedule>;
  /** Starts a run now, whatever the windows say. @throws LmasError SCHEDULE_BUSY, SCHEDULE_PAUSED */
  run(id: string, project: string | null): Promise<Schedule>;
  preview(id: string, count: number, project: string | null): Promise<Preview>;
  /** Of one that is not stored. @throws LmasError INVALID_SCHEDULE */
  previewOf(input: ScheduleInput, count: number, project: string | null): Promise<Preview>;
  /** Newest first. */
  history(id: string, project: string | null): Promise<HistoryEntry[]>;
}

interface Parts {
  readonly table: VersionedTable<StoredSchedule>;
  readonly actions: Actions;
  /** Lets the keepers know when there is something to look at: null is never again. */
  readonly announce: (id: string, lookAtMs: number | null) => Promise<void>;
  readonly now: () => number;
}

export function createScheduleService({ table, actions, announce, now }: Parts): ScheduleService {
  const at = (): string => new Date(now()).toISOString();
  const requireSense = async (
    input: ScheduleInput,
    project: string | null,
    options: { isRetimed?: boolean } = {},
  ): Promise<void> => {
    const kind: ActionKind<ScheduleAction> = actions[input.action.kind];
    const issues = inOrder([
      ...complaintsAbout(input, now(), options),
      ...(await kind.complaints(input.action, project)),
    ]);
    if (issues.length === 0) return;
    const message = issues.map(({ path, message }) => `${path}: ${message}`).join('; ');
    throw new LmasError('INVALID_SCHEDULE', message, { issues });
  };
  const missing = (id: string) => new LmasError('SCHEDULE_NOT_FOUND', `There is no schedule ${id}.`);
  const load = async (id: string, project: string | null): Promise<StoredSchedule> => {
    const found = await table.find(fullName(project, id));
    if (found === undefined) throw missing(id);
    return found.value;
  };
  const shown = (schedule: StoredSchedule, project: string | null): Schedule => ({
    ...shownInFull(schedule),
    id: ownName(project, schedule.id),
  });
  /** Applies an order of a person; `undefined` leaves it as it is. A run that waited and does not any more is told of. */
  const order = async (
    id: string,
    project: string | null,
    apply: (schedule: StoredSchedule) => StoredSchedule | undefined,
    whyWaitsNoMore = '',
  ): Promise<Schedule> => {
    const fullId = (await load(id, project)).id;
    const changed = await table.change(fullId, (schedule) => {
      const value = apply(schedule);
      if (value === undefined) return undefined;
      const { waiting } = schedule.progress;
      const log: HistoryEntry[] =
        waiting === null || value.progress.waiting !== null
          ? []
          : [
              {
                at: at(),
                dueAt: waiting.dueAt,
                event: 'skipped',
                message: whyWaitsNoMore,
                run: null,
                code: waiting.code,
              },
            ];
      const beside = { lookAtMs: lookAtMs(value, now()), log, notices: noticesOf(value, log) };
      return { value, beside: { withdraw: true, ...beside } };
    });
    if (changed === undefined) throw missing(id);
    await announce(fullId, lookAtMs(changed, now()));
    return shown(changed, project);
  };

  return {
    async create(input, project) {
      await requireSense(input, project);
      const idle = { starting: null, waiting: null, current: null };
      const stored: StoredSchedule = {
        ...{ ...input, id: fullName(project, input.id) },
        ...{ project, createdAt: at(), pausedAt: null, progress: { seenUntil: at(), ...idle } },
      };
      const beside = { lookAtMs: lookAtMs(stored, now()) };
      if (!(await table.add(stored, beside))) {
        throw new LmasError('ALREADY_EXISTS', `There is a schedule ${input.id} already.`);
      }
      await announce(stored.id, beside.lookAtMs);
      return shown(stored, project);
    },
    async list(query, project) {
      const { items, nextCursor } = await pageOf(table, query, (schedule) => projectSees(project, schedule.project));
      return { items: items.map((schedule) => shown(schedule, project)), nextCursor };
    },
    get: async (id, project) => shown(await load(id, project), project),
    async change(id, change, project, expect) {
      const before = await load(id, project);
      expect(shown(before, project));
      const named = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
      const changed: StoredSchedule = { ...before, ...named };
      const isRetimed = 'trigger' in named || 'timeZone' in named;
      await requireSense(changed, before.project, { isRetimed });
      const apply = (schedule: StoredSchedule): StoredSchedule => {
        expect(shown(schedule, project));
        // What comes now is for the new times to say; what was missed by the old ones is over.
        const progress = isRetimed ? { ...schedule.progress, seenUntil: at(), waiting: null } : schedule.progress;
        return { ...schedule, ...named, progress };
      };
      return await order(id, project, apply, 'Its times were changed while it waited.');
    },
    async remove(id, project) {
      const fullId = (await load(id, project)).id;
      await table.remove(fullId);
      await announce(fullId, null);
    },
    pause: (id, project) => {
      const apply = (schedule: StoredSchedule) => {
        if (schedule.pausedAt !== null) return undefined;
        return { ...schedule, pausedAt: at(), progress: { ...schedule.progress, waiting: null } };
      };
      return order(id, project, apply, 'It was paused while it waited.');
    },
    resume: (id, project) =>
      order(id, project, (schedule) => {
        if (schedule.pausedAt === null) return undefined;
        return { ...schedule, pausedAt: null, progress: { ...schedule.progress, seenUntil: at() } };
      }),
    run: (id, project) =>
      order(id, project, (schedule) => {
        const { starting, current } = schedule.progress;
        if (schedule.pausedAt !== null) throw new LmasError('SCHEDULE_PAUSED');
        if (starting !== null || current !== null) throw new LmasError('SCHEDULE_BUSY');
        return { ...schedule, progress: { ...schedule.progress, starting: { dueAt: at(), why: 'by hand' } } };
      }),
    async preview(id, count, project) {
      const schedule = await load(id, project);
      const seenMs = Date.parse(schedule.progress.seenUntil);
      return previewOf(schedule, { afterMs: Math.max(seenMs, now()), count });
    },
    async previewOf(input, count, project) {
      await requireSense(input, project);
      return previewOf(input, { afterMs: now(), count });
    },
    async history(id, project) {
      const { id: fullId } = await load(id, project);
      return (await table.readLog(fullId)).map((entry) => scheduleHistoryEntrySchema.parse(entry));
    },
  };
}
