/**
 * The state machine of a run that moves VMs. Pure: the record, what has become of its migrations and the clock go in; the
 * record as it has to be next comes out. What is ordered stands in the record before it is done (`moving`, with the id of
 * a migration that may not be there yet), so that whoever reads it after a crash orders the same once more.
 *
 *   wave   waiting → moving → between → done             between: pause, approval, checks
 *                       │        │
 *                       └────────┴──▶ rolling-back ──▶ failed
 *
 * What becomes of each VM is in item-step.ts.
 */
import { allMoved, leavesInBetween, leftBehind, leftSilent, unverifiedIn } from './in-words.ts';
import { type Advance, type Facts, ItemStep, isLive } from './item-step.ts';
import { approvalInWords, becauseOf, rolledBackIn, told, waveInWords } from './progress.ts';
import {
  APPROVAL_EXPIRED,
  approvalEndsMs,
  isLost,
  isWaveOver,
  type PlanItem,
  type PlanRun,
  type PlanWave,
  type WaveRun,
} from './record.ts';
import { reverseOf } from './reverse.ts';

export function advance(run: PlanRun, facts: Facts): Advance {
  const step = new Step(run, facts);
  for (const item of step.run.items) if (isLive(item)) step.settle(item);
  if (run.cancelRequestedAt !== null) step.cancelAll();
  else for (let isNew = true; isNew; ) isNew = step.turnWave();
  return { run: told(step.run), entries: step.entries, cancel: step.cancel };
}

/** One look at a run. What a drill does otherwise is in rehearsal.ts. */
export class Step extends ItemStep {
  /** Lets nothing begin any more; the end has come when nothing moves. */
  cancelAll(): void {
    const { items } = this.run;
    for (const item of items.filter(isLive)) this.cancel.push(...item.migrations.slice(-1));
    if (items.some(isLive)) return;
    this.finish('cancelled', 'It was cancelled.');
  }

  /** @returns whether something has changed, so that there may be more to do */
  turnWave(): boolean {
    if (this.run.phase !== 'running') return false;
    const index = this.run.waves.findIndex(({ state }) => !isWaveOver(state));
    const wave = this.run.waves[index];
    const plan = this.run.definition.waves[index];
    if (wave === undefined || plan === undefined) return this.complete();
    const items = this.run.items.filter((item) => item.wave === index);
    switch (wave.state) {
      case 'waiting':
        return this.#begin(wave);
      case 'moving':
        return this.#move(wave, plan, items);
      case 'between':
        return this.#pass(wave, plan, items);
      case 'rolling-back':
        return this.#rollBack(wave, plan, items);
      default:
        return false;
    }
  }

  #begin(wave: WaveRun): boolean {
    if (this.run.pausedAt !== null) return false;
    wave.state = 'moving';
    wave.startedAt = this.now;
    this.note(`Wave ${this.nameOf(wave)} begins.`);
    return true;
  }

  #move(wave: WaveRun, plan: PlanWave, items: PlanItem[]): boolean {
    const moving = items.filter(isLive);
    if (items.some((item) => this.breaks(item)) && plan.onFailure !== 'go-on') {
      if (plan.onFailure === 'roll-back') this.cancel.push(...moving.flatMap(({ migrations }) => migrations.slice(-1)));
      return moving.length === 0 && this.fail(wave, plan);
    }
    const waiting = items.filter(({ state }) => state === 'waiting');
    if (this.run.pausedAt === null) {
      for (const item of waiting.splice(0, this.#placesFree(plan, moving))) {
        this.order(item, false);
        moving.push(item);
      }
    }
    if (waiting.length + moving.length > 0) return false;
    wave.state = 'between';
    wave.pauseUntil = new Date(this.facts.nowMs + plan.afterwards.pauseMs).toISOString();
    if (plan.afterwards.approval && wave.approvedAt === null) this.#ask(wave);
    return true;
  }

  #placesFree({ concurrency }: PlanWave, live: readonly PlanItem[]): number {
    return concurrency - live.filter((item) => !this.isAskedAgain(item)).length;
  }

  #ask(wave: WaveRun): void {
    wave.waitsSince = this.now;
    this.note(approvalInWords(this.run, wave));
  }

  /**
   * What has moved stays: whoever did not answer has not said that it should go back. Nobody is late while the run is paused.
   * @returns whether its time is over
   */
  #expireUnanswered(wave: WaveRun): boolean {
    const endsMs = approvalEndsMs(this.run);
    if (endsMs === null || endsMs > this.facts.nowMs || this.run.pausedAt !== null) return false;
    const until = new Date(endsMs).toISOString();
    const message = `Nobody approved what follows wave ${this.nameOf(wave)} until ${until}: nothing more was begun.`;
    this.run.reasons.push({ path: `waves.${this.run.waves.indexOf(wave)}`, message, code: APPROVAL_EXPIRED });
    this.note(message, { code: APPROVAL_EXPIRED });
    wave.state = 'failed';
    wave.endedAt = this.now;
    this.expired(message);
    return true;
  }

  protected expired(message: string): void {
    this.finish('failed', `${message}${leftBehind(this.run, 'were')}${unverifiedIn(this.run)}`);
  }

  #pass(wave: WaveRun, plan: PlanWave, _items: PlanItem[]): boolean {
    const { approval, checks } = plan.afterwards;
    wave.pauseUntil = this.within(wave.pauseUntil, plan.afterwards.pauseMs);
    if (Date.parse(wave.pauseUntil ?? '') > this.facts.nowMs) return false;
    if (approval && wave.approvedAt === null) {
      if (wave.waitsSince === null) this.#ask(wave);
      return this.#expireUnanswered(wave);
    }
    if (wave.checks.length < checks.length) return false; // somebody makes them
    const failed = wave.checks.filter(({ passed }) => !passed);
    for (const { message } of failed) this.note(`A check failed: ${message}`, { code: 'CHECK_FAILED' });
    if (failed.length > 0 && plan.onFailure !== 'go-on') return this.fail(wave, plan);
    wave.state = 'done';
    wave.endedAt = this.now;
    const because = becauseOf(this.run, wave);
    this.note(`Wave ${this.nameOf(wave)} ${because === '' ? 'is done' : `is over${because}`}.`);
    return true;
  }

  /** A time that was to be so far off at most. A clock that was ahead when it was set, and has come back, makes it farther: then it begins anew. */
  protected within(time: string | null, ms: number): string | null {
    const isFar = time !== null && Date.parse(time) - this.facts.nowMs > ms;
    return isFar ? new Date(this.facts.nowMs + ms).toISOString() : time;
  }

  /** Whether its wave has failed with it. */
  protected breaks(item: PlanItem): boolean {
    return isLost(item);
  }

  protected fail(wave: WaveRun, plan: PlanWave): boolean {
    if (plan.onFailure === 'roll-back') {
      wave.state = 'rolling-back';
      this.note(`Wave ${this.nameOf(wave)} is rolled back${becauseOf(this.run, wave)}.`);
      return true;
    }
    return this.stop(wave);
  }

  #rollBack(wave: WaveRun, plan: PlanWave, items: PlanItem[]): boolean {
    const moving = items.filter(isLive);
    for (const item of items.filter(({ state }) => state === 'moved')) {
      const reverse = reverseOf(item);
      if ('reason' in reverse) {
        this.end(item, 'stuck', 'It cannot be moved back.', {
          code: 'CHECK_FAILED',
          message: reverse.reason,
          remedy: 'Move it back by hand.',
        });
      } else if (this.#placesFree(plan, moving) > 0 && this.run.pausedAt === null) {
        this.order(item, true);
        moving.push(item);
      }
    }
    if (moving.length > 0 || items.some(({ state }) => state === 'moved')) return false;
    return this.stop(wave);
  }

  protected stop(wave: WaveRun): boolean {
    const rolledBack = wave.state === 'rolling-back' ? rolledBackIn(this.run, wave) : '';
    wave.state = 'failed';
    wave.endedAt = this.now;
    this.finish('failed', `Wave ${this.nameOf(wave)} failed${becauseOf(this.run, wave)}.${rolledBack}`);
    return true;
  }

  protected complete(): boolean {
    const lost = this.run.items.filter(isLost);
    const failedChecks = this.run.waves.flatMap(({ checks }) => checks.filter(({ passed }) => !passed));
    // What was to be emptied is not: as a silent host may have VMs, this one has a guest that nobody may switch off.
    const isNotEmpty = leftSilent(this.run) !== '' || (this.run.mode === 'evacuation' && leavesInBetween(this.run));
    if (lost.length === 0 && failedChecks.length === 0)
      this.finish(isNotEmpty ? 'failed' : 'succeeded', `${allMoved(this.run)}${unverifiedIn(this.run)}`);
    else
      this.finish(
        'failed',
        `${lost.length} of ${this.run.items.length} VMs did not move; ${failedChecks.length} checks failed.${leftBehind(this.run, 'were')}${unverifiedIn(this.run)}`,
      );
    return true;
  }

  protected finish(phase: 'succeeded' | 'failed' | 'cancelled', message: string): void {
    for (const item of this.run.items) if (item.state === 'waiting') item.state = 'skipped';
    for (const wave of this.run.waves) if (wave.state !== 'done' && wave.state !== 'failed') wave.state = 'skipped';
    Object.assign(this.run, { phase, message, endedAt: this.now, pausedAt: null });
    this.note(message);
  }

  protected nameOf(wave: WaveRun): string {
    return waveInWords(this.run, wave);
  }
}
