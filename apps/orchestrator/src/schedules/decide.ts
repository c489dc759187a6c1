/**
 * What is to be done about a schedule now. Pure: the record and the clock go in; the new record, what goes into the
 * history, and what is to be cancelled come out. Whether a run is to begin stands in the record first (`starting`) and is
 * done afterwards, so that a crash in between changes nothing.
 *
 *   its time comes ─┬─ on time, a window is open ──┬─ nothing of it is under way ──▶ starting ─▶ current ─▶ ended
 *                   │                              ├─ overlap: skip │ queue, replace ─▶ waiting (former-run) ─┘
 *                   │                              └─ a run of somebody else is in its way: skip │ queue, replace ─▶ waiting (other-run)
 *                   ├─ outside of every window ──── missed: next-window ─▶ waiting (window) ─ it opens ───────┘
 *                   └─ noticed too late ─────────── missed: skip │ run-now │ next-window ─────────────────────┘
 *
 * Clocks that go back bring no time a second time (`seenUntil`); those that come back from a day ahead and more are
 * believed, or the schedule would stand still until then.
 */
import { isOpen } from '../time/periods.ts';
import { DAY_MS } from '../time/zone.ts';
import type { HistoryEntry, Progress, RunRef, StoredSchedule } from './record.ts';
import { occurrencesAfter } from './trigger.ts';

/** What is noticed later than this was missed. */
export const GRACE_MS = 60_000;
const MOST_COUNTED = 1_000;
/** How soon it is tried again what somebody else's run was in the way of. */
export const TRY_AGAIN_MS = 30_000;

/** What has become of a run: null while it goes on. */
export interface RunEnd {
  readonly outcome: 'succeeded' | 'failed' | 'cancelled';
  readonly message: string;
  readonly code: string | null;
}

export interface Decision {
  readonly progress: Progress;
  readonly entries: readonly Omit<HistoryEntry, 'at'>[];
  /** What has to make room. */
  readonly cancel: RunRef | null;
}

interface Facts {
  readonly nowMs: number;
  /** Of what is under way; null while it goes on, or when nothing is. */
  readonly end: RunEnd | null;
}

export function decide(schedule: StoredSchedule, { nowMs, end }: Facts): Decision {
  const draft = new Draft(schedule.progress);
  const { current } = schedule.progress;
  if (current !== null && end !== null) {
    draft.note(current.dueAt, end.outcome, end.message, current.run, end.code);
    draft.progress.current = null;
  }
  if (draft.progress.starting !== null) return draft.decision(null);
  forgetFuture(draft, nowMs);
  if (schedule.pausedAt !== null) return draft.decision(null);
  takeDue(schedule, draft, nowMs);
  return draft.decision(takeWaiting(schedule, draft, nowMs));
}

/** The record as it will be. */
class Draft {
  readonly progress: { -readonly [K in keyof Progress]: Progress[K] };
  readonly #entries: Omit<HistoryEntry, 'at'>[] = [];

  constructor(progress: Progress) {
    this.progress = { ...progress };
  }

  note(
    dueAt: string,
    event: HistoryEntry['event'],
    message: string,
    run: RunRef | null = null,
    code: string | null = null,
  ): void {
    this.#entries.push({ dueAt, event, message, run, code });
  }

  wait(dueAt: string, what: 'window' | 'former-run', message: string): void {
    const { waiting } = this.progress;
    if (waiting !== null) this.note(waiting.dueAt, 'skipped', `The run of ${dueAt} takes its place.`);
    this.progress.waiting = { dueAt, for: what, ...NOTHING_IN_ITS_WAY };
    this.note(dueAt, 'waits', message);
  }

  /** An older run that waits, whatever for, would follow the newer one, or replace it. */
  makeWayFor(dueAt: string): void {
    const { waiting } = this.progress;
    if (waiting === null || waiting.dueAt >= dueAt) return;
    const inItsWay = waiting.message === null ? '' : ` What had been in its way: ${waiting.message}`;
    this.note(waiting.dueAt, 'skipped', `The run of ${dueAt} takes its place.${inItsWay}`, null, waiting.code);
    this.progress.waiting = null;
  }

  decision(cancel: RunRef | null): Decision {
    return { progress: this.progress, entries: this.#entries, cancel };
  }
}

const NOTHING_IN_ITS_WAY = { message: null, code: null, tryAt: null } as const;

const iso = (atMs: number): string => new Date(atMs).toISOString();

function forgetFuture({ progress }: Draft, nowMs: number): void {
  if (Date.parse(progress.seenUntil) > nowMs + DAY_MS) progress.seenUntil = iso(nowMs);
}

/** Deals with every time of the trigger that has come: the newest one counts, the others are told of. */
function takeDue(schedule: StoredSchedule, draft: Draft, nowMs: number): void {
  let due: number | undefined;
  let older = 0;
  for (const { atMs } of occurrencesAfter(schedule, Date.parse(draft.progress.seenUntil))) {
    if (atMs > nowMs) break;
    if (due !== undefined) older += 1;
    due = atMs;
    if (older === MOST_COUNTED) break;
  }
  if (due === undefined) return;
  const isManifold = older === MOST_COUNTED;
  // So many were missed that nobody counts them: go on from here.
  draft.progress.seenUntil = iso(isManifold ? nowMs : due);
  const dueAt = iso(due);
  if (older > 0) {
    const count = isManifold ? `${MOST_COUNTED} runs and more` : older === 1 ? '1 run' : `${older} runs`;
    draft.note(dueAt, 'skipped', `${count} before this one were missed.`);
  }
  const { missed } = schedule;
  const isLate = nowMs - due > GRACE_MS;
  const open = isOpen(schedule, nowMs);
  if (isLate && missed === 'skip') draft.note(dueAt, 'skipped', 'It was missed: nobody was there at its time.');
  else if (open) begin(schedule, draft, dueAt, isLate ? 'late' : 'on time');
  else if (missed === 'next-window') draft.wait(dueAt, 'window', 'It waits for a window to open.');
  else draft.note(dueAt, 'skipped', 'No window is open.');
}

/** Lets it begin, unless the former run is under way. */
function begin({ overlap }: StoredSchedule, draft: Draft, dueAt: string, why: string): void {
  if (draft.progress.current === null) {
    draft.makeWayFor(dueAt);
    draft.progress.starting = { dueAt, why };
  } else if (overlap === 'skip') draft.note(dueAt, 'skipped', 'The former run is still under way.');
  else
    draft.wait(
      dueAt,
      'former-run',
      overlap === 'queue' ? 'It waits for the former run.' : 'It replaces the former run.',
    );
}

/** Lets what waits begin, if it can now. @returns what has to make room for it */
function takeWaiting(schedule: StoredSchedule, draft: Draft, nowMs: number): RunRef | null {
  const { waiting, current, starting } = draft.progress;
  if (waiting === null || starting !== null) return null;
  if (current !== null && waiting.for === 'former-run') return schedule.overlap === 'replace' ? current.run : null;
  if (waiting.for === 'other-run') return takeHeldUp(schedule, draft, waiting, nowMs);
  const { dueAt } = waiting;
  if (isOpen(schedule, nowMs)) {
    draft.progress.waiting = null;
    begin(schedule, draft, dueAt, waiting.for === 'window' ? 'as its window opened' : 'after the former run');
  } else if (waiting.for === 'former-run') {
    draft.progress.waiting = null;
    if (schedule.missed === 'next-window') draft.wait(dueAt, 'window', 'It waits for a window to open.');
    else draft.note(dueAt, 'skipped', 'The window had closed when the former run ended.');
  }
  return null;
}

/** What somebody else's run was in the way of is tried again for as long as it may begin. */
function takeHeldUp(
  schedule: StoredSchedule,
  draft: Draft,
  { dueAt, tryAt, message, code }: NonNullable<Progress['waiting']>,
  nowMs: number,
): null {
  if (!isOpen(schedule, nowMs)) {
    draft.progress.waiting = null;
    const why = `What was in its way until its window closed: ${message}`;
    if (schedule.missed === 'next-window') draft.wait(dueAt, 'window', `It waits for a window to open. ${why}`);
    else draft.note(dueAt, 'skipped', why, null, code);
    return null;
  }
  const inMs = Date.parse(tryAt ?? '') - nowMs;
  // A clock that was ahead and has come back makes nobody wait for longer.
  if (inMs > 0 && inMs <= TRY_AGAIN_MS) return null;
  if (draft.progress.current === null) draft.progress.starting = { dueAt, why: 'once nothing was in its way any more' };
  else {
    draft.progress.waiting = null;
    begin(schedule, draft, dueAt, '');
  }
  return null;
}

/** Refusals that are over once a run that somebody else has begun is, or has begun to move: the queue of its project may be full of such. */
const HELD_UP: readonly string[] = ['PLAN_BUSY', 'VM_ALREADY_MIGRATING', 'PROJECT_QUEUE_FULL'];
export const isHeldUp = ({ code }: { readonly code: string }): boolean => HELD_UP.includes(code);

/**
 * What was to begin meets a run that somebody else has begun. That one is nobody's to cancel, so `replace` waits for it as `queue` does.
 * @param why as it was refused
 */
export function heldUp(
  schedule: StoredSchedule,
  { dueAt }: NonNullable<Progress['starting']>,
  { message, code }: { readonly message: string; readonly code: string },
  nowMs: number,
): Pick<Decision, 'progress' | 'entries'> {
  const { waiting } = schedule.progress;
  const draft = new Draft({ ...schedule.progress, starting: null });
  const isItself = waiting?.for === 'other-run' && waiting.dueAt === dueAt;
  if (schedule.overlap === 'skip' || !isOpen(schedule, nowMs)) {
    if (isItself) draft.progress.waiting = null;
    draft.note(dueAt, 'skipped', message, null, code);
  } else {
    if (!isItself && waiting !== null) draft.note(waiting.dueAt, 'skipped', `The run of ${dueAt} takes its place.`);
    draft.progress.waiting = { dueAt, for: 'other-run', message, code, tryAt: iso(nowMs + TRY_AGAIN_MS) };
    // Once for each reason, however often it is tried.
    if (!isItself || waiting.message !== message)
      draft.note(dueAt, 'waits', `It is tried again: ${message}`, null, code);
  }
  const { progress, entries } = draft.decision(null);
  return { progress, entries };
}
