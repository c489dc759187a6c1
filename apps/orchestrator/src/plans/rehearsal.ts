/**
 * The state machine of a run that rehearses: waves as in a fail-over, with a copy of each VM started in place of a move. Pure, as
 * advance.ts is, and by the same rule: what is ordered stands in the record before it is done.
 *
 *   run    running → keeping → undoing → succeeded | failed | cancelled
 *   VM     waiting → copying → copied → rehearsed
 *                       └─ failed, cancelled   └─ failed: its copy was gone before it was undone
 *
 * Invariant: however the waves end, every copy is undone before the run ends. A cancel undoes at once; once the waves are over it
 * only makes the end come sooner. A VM that cannot be rehearsed is told of and holds up no others.
 */
import { migrationIdFor } from '../migrations/record.ts';
import { Step } from './advance.ts';
import { leftSilent, notRehearsed } from './in-words.ts';
import type { Advance, Facts } from './item-step.ts';
import { becauseOf, told } from './progress.ts';
import { APPROVAL_EXPIRED, isLost, type PlanItem, type PlanRun, type PlanWave, type WaveRun } from './record.ts';

export function advanceRehearsal(run: PlanRun, facts: Facts): Advance {
  const step = new RehearsalStep(run, facts);
  step.look();
  return { run: told(step.run), entries: step.entries, cancel: step.cancel };
}

const hasCopy = ({ state }: PlanItem): boolean => state === 'copying' || state === 'copied';

class RehearsalStep extends Step {
  look(): void {
    for (const item of this.run.items) if (hasCopy(item)) this.settle(item);
    if (this.run.phase === 'running') {
      if (this.run.cancelRequestedAt !== null) this.#undo();
      else for (let isNew = true; isNew; ) isNew = this.turnWave();
    }
    if (this.run.phase === 'keeping') {
      this.run.keptUntil = this.within(this.run.keptUntil, this.run.definition.drill.keepMs);
      if (this.#isOver()) this.#undo();
    }
    if (this.run.phase === 'undoing') this.#undo();
  }

  #isOver(): boolean {
    const { cancelRequestedAt, keptUntil } = this.run;
    return cancelRequestedAt !== null || Date.parse(keptUntil ?? this.now) <= this.facts.nowMs;
  }

  protected override order(item: PlanItem): void {
    const { id, attempt } = this.run;
    item.state = 'copying';
    item.migrations.push(migrationIdFor(`plan run ${id}, attempt ${attempt}, ${item.key}`));
    item.startedAt ??= this.now;
    this.run.startedAt ??= this.now;
    this.note('A copy of it is ordered.', { vm: item.vm.name });
  }

  override settle(item: PlanItem): void {
    const facts = this.facts.migrations.get(item.migrations.at(-1) ?? '');
    if (facts === undefined) {
      // Ordered and not there: nobody can make it any more once the order was withdrawn.
      const isWithdrawn = this.run.pausedAt !== null || this.run.cancelRequestedAt !== null;
      if (!isWithdrawn || item.state !== 'copying') return;
      item.migrations.pop();
      item.state = 'waiting';
      return;
    }
    const { outcome, rehearsal, error } = facts;
    if (item.state === 'copying' && rehearsal !== null) this.end(item, 'copied', 'Its copy runs.');
    item.rehearsal = rehearsal;
    if (outcome === null) return;
    if (outcome !== 'succeeded') {
      const stopped = rehearsal === null ? 'No copy of it came up.' : 'Its copy did not run to the end.';
      this.end(item, outcome, stopped, error);
      return;
    }
    item.state = 'rehearsed';
    const isWhole = (rehearsal?.leftovers ?? []).length === 0;
    const undone = isWhole ? 'Its copy was undone.' : 'Its copy is not undone completely yet; that is tried on.';
    this.note(undone, { vm: item.vm.name });
  }

  /** What the checks refused was known before the first wave. */
  protected override breaks(item: PlanItem): boolean {
    return isLost(item) && item.state !== 'refused';
  }

  /** Nothing has moved that could be moved back. */
  protected override fail(wave: WaveRun, _plan: PlanWave): boolean {
    wave.state = 'failed';
    wave.endedAt = this.now;
    this.note(`Wave ${this.nameOf(wave)} failed${becauseOf(this.run, wave)}.`);
    return this.complete();
  }

  protected override expired(): void {
    this.complete();
  }

  protected override complete(): boolean {
    const { definition, items } = this.run;
    this.run.keptSince = this.now;
    if (!items.some(hasCopy)) {
      this.#finish();
      return true;
    }
    this.run.phase = 'keeping';
    this.run.pausedAt = null;
    this.run.keptUntil = new Date(this.facts.nowMs + definition.drill.keepMs).toISOString();
    this.run.message = 'Its copies run.';
    this.note('The waves are over; the copies are kept until they are undone.');
    return true;
  }

  #undo(): void {
    const { items } = this.run;
    const left = items.filter(hasCopy);
    this.cancel.push(...left.flatMap(({ migrations }) => migrations.slice(-1)));
    if (left.length === 0) this.#finish();
    else if (this.run.phase !== 'undoing') this.#beginUndoing();
  }

  #beginUndoing(): void {
    Object.assign(this.run, { phase: 'undoing', message: 'Its copies are undone.' });
    this.note('The copies are undone.');
  }

  #finish(): void {
    const { items, waves, keptSince, reasons } = this.run;
    const unfinished = items.filter(({ rehearsal }) => (rehearsal?.leftovers ?? []).length > 0);
    const names = unfinished.map(({ vm }) => vm.name).join(', ');
    const unfinishedInWords = unfinished.length === 0 ? '' : ` Not everything of ${names} could be taken away yet.`;
    const left = notRehearsed(this.run) + unfinishedInWords;
    const lost = items.filter(({ state }) => state !== 'rehearsed' && state !== 'left');
    const resting = items.filter(({ state }) => state === 'left').length;
    const unanswered = reasons.find(({ code }) => code === APPROVAL_EXPIRED);
    const failed = waves.flatMap(({ checks }) => checks.filter(({ passed }) => !passed));
    if (keptSince === null) this.finish('cancelled', `It was cancelled; what was made is undone.${left}`);
    else if (unanswered !== undefined) this.finish('failed', `${unanswered.message} What came up is undone.${left}`);
    else if (lost.length === 0 && failed.length === 0)
      // What nobody saw was not shown to come up.
      this.finish(leftSilent(this.run) === '' ? 'succeeded' : 'failed', `Every copy came up, and was undone.${left}`);
    else {
      const facts = `${lost.length} of ${items.length - resting} VMs were not rehearsed; ${failed.length} checks failed.`;
      this.finish('failed', `${facts} What came up is undone.${left}`);
    }
  }
}
