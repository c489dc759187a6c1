/**
 * What becomes of each VM of a run: it is ordered, and what has become of its migration becomes its own state. When its turn comes is
 * for the waves (advance.ts). Pure, and by the same rule: what is ordered stands in the record before it is done.
 *
 *   VM     waiting → moving → moved → moving-back → moved-back
 *                       └─ failed, cancelled            └─ stuck
 */
import { migrationIdFor } from '../migrations/record.ts';
import { lossInWords, notFound, runsTwice } from './in-words.ts';
import { limboFinding, limboOf, withoutLimbo } from './limbo.ts';
import type { PlanItem, PlanRun, RunEntry } from './record.ts';

/** What is known of a migration; `undefined` when there is none of that id. */
export interface MigrationFacts {
  /** null while it goes on. */
  readonly outcome: 'succeeded' | 'failed' | 'cancelled' | null;
  readonly error: PlanItem['error'];
  /** What the end that it left answered about it; null until it was asked. */
  readonly vacated: PlanItem['sourceAfter'];
  /** What only a person can do about it. */
  readonly byHand: string | null;
  /** Disks that it left at the end from which the VM went. */
  readonly keptDisks: PlanItem['keptDisks'];
  /** When it ended; null while it goes on. */
  readonly endedAtMs: number | null;
  /** Where it is, when it did not succeed; null: nobody had looked for it. */
  readonly leftAt: PlanItem['leftAt'];
  /** Of a drill whose copy has come up. */
  readonly rehearsal: PlanItem['rehearsal'];
}

export interface Facts {
  readonly nowMs: number;
  readonly migrations: ReadonlyMap<string, MigrationFacts>;
}

export interface Advance {
  readonly run: PlanRun;
  readonly entries: readonly Omit<RunEntry, 'at'>[];
  /** Migrations that have to stop. */
  readonly cancel: readonly string[];
}

/** From the end of its migration: for so long an end that does not answer, or still holds a copy, is asked again whether the VM is gone from there. */
export const VACATED_WITHIN_MS = 60_000;

const SOURCE_NOT_VERIFIED = 'SOURCE_NOT_VERIFIED';

const LIVE: readonly PlanItem['state'][] = ['moving', 'moving-back', 'copying'];
export const isLive = ({ state }: PlanItem): boolean => LIVE.includes(state);

/** One look at the VMs of a run. */
export class ItemStep {
  readonly run: PlanRun;
  readonly entries: Omit<RunEntry, 'at'>[] = [];
  readonly cancel: string[] = [];
  protected readonly facts: Facts;
  protected readonly now: string;
  /** They have moved, and the end that they left is asked again whether they are gone: they hold up no others. */
  readonly #askedAgain = new Set<PlanItem>();

  constructor(run: PlanRun, facts: Facts) {
    this.run = structuredClone(run);
    this.facts = facts;
    this.now = new Date(facts.nowMs).toISOString();
  }

  protected note(message: string, { vm = null, code = null }: Partial<Pick<RunEntry, 'vm' | 'code'>> = {}): void {
    this.entries.push({ message, vm, code });
  }

  protected order(item: PlanItem, back: boolean): void {
    const { id, attempt } = this.run;
    item.state = back ? 'moving-back' : 'moving';
    item.migrations.push(migrationIdFor(`plan run ${id}, attempt ${attempt}, ${item.key}${back ? ', back' : ''}`));
    item.startedAt ??= this.now;
    item.endedAt = null;
    item.leftAt = null;
    item.error = null;
    this.run.startedAt ??= this.now;
    this.note(back ? 'It is moved back.' : 'It is ordered to move.', { vm: item.vm.name });
  }

  protected end(item: PlanItem, state: PlanItem['state'], message: string, error: PlanItem['error'] = null): void {
    item.state = state;
    item.endedAt = this.now;
    item.error = error;
    this.note(message, { vm: item.vm.name, code: error?.code ?? null });
  }

  /** What has become of its migration becomes the VM's own state. */
  settle(item: PlanItem): void {
    const back = item.state === 'moving-back';
    const facts = this.facts.migrations.get(item.migrations.at(-1) ?? '');
    if (facts === undefined) {
      // Ordered and not there: nobody can make it any more once the order was withdrawn.
      const isWithdrawn = this.run.pausedAt !== null || this.run.cancelRequestedAt !== null;
      if (!isWithdrawn) return;
      item.migrations.pop();
      item.state = back ? 'moved' : 'waiting';
      return;
    }
    const { outcome, vacated, keptDisks } = facts;
    this.#tellLimbo(item, facts);
    if (outcome === null || (outcome === 'succeeded' && vacated === null)) return;
    if (outcome !== 'succeeded') {
      item.leftAt = back ? seenFromThere(facts.leftAt) : facts.leftAt;
      this.end(item, back ? 'stuck' : outcome, lossInWords(item, outcome, back), errorOf(item, facts, back));
      return;
    }
    const isVerified = vacated !== 'unreachable' && vacated !== 'paused';
    if (!isVerified && this.#mayAnswerYet(facts)) {
      this.#askedAgain.add(item);
      return;
    }
    if (!back) item.sourceAfter = vacated;
    item.keptDisks = [...keptDisks];
    if (vacated === 'running') {
      const error = runsTwice(item, back);
      item.leftAt = 'both';
      this.end(item, back ? 'stuck' : 'failed', error.message, error);
      return;
    }
    const asItWas = item.powerState === 'off' ? ', powered off as it was' : '';
    this.end(item, back ? 'moved-back' : 'moved', `It has moved${back ? ' back' : ''}${asItWas}.`);
    if (!isVerified) this.#tellUnverified(item, back ? item.destination.endpoint : item.source.endpoint, facts);
  }

  /** Its migration goes on, and asks for a person by now: its run says so for as long as that lasts, and no longer. */
  #tellLimbo(item: PlanItem, facts: MigrationFacts): void {
    const before = limboOf(item);
    item.findings = withoutLimbo(item);
    if (facts.outcome !== null || facts.byHand === null) return;
    const finding = limboFinding(item, facts);
    item.findings.push(finding);
    if (before?.message !== finding.message) this.note(finding.message, { vm: item.vm.name, code: finding.code });
  }

  #mayAnswerYet({ endedAtMs }: MigrationFacts): boolean {
    if (endedAtMs === null || this.run.cancelRequestedAt !== null) return false;
    // A clock that was ahead when it ended and has come back makes it end in the future: that is waited for no longer than the rest.
    return Math.abs(this.facts.nowMs - endedAtMs) < VACATED_WITHIN_MS;
  }

  /** It counts as moved, for its migration saw it run where it went. Whether it stands still where it was is for a person to see. */
  #tellUnverified(item: PlanItem, endpoint: string, { vacated, byHand }: MigrationFacts): void {
    const { name } = item.vm;
    const isPaused = vacated === 'paused';
    const message = isPaused
      ? `A copy of ${name} stands paused at ${endpoint}, which it has left: whoever resumes that makes two of it.`
      : `${endpoint}, which ${name} has left, does not answer: that it does not run there any more was not verified.`;
    const look = isPaused
      ? `Do not resume ${name} at ${endpoint}. Make sure that it runs where it went, then destroy the paused copy.`
      : `Before ${endpoint} comes back, make sure that it cannot start ${name}; once it answers, look there.`;
    item.findings.push({ severity: 'warning', code: SOURCE_NOT_VERIFIED, message, remedy: byHand ?? look });
    this.note(message, { vm: name, code: SOURCE_NOT_VERIFIED });
  }

  /** Its migration is over, and the end that it left is asked once more: it needs no place any more. */
  protected isAskedAgain(item: PlanItem): boolean {
    return this.#askedAgain.has(item);
  }
}

/** Of a VM that the end from which it was to go does not know the hypervisor has but an id to say. */
function errorOf(item: PlanItem, { error, leftAt, byHand }: MigrationFacts, back: boolean): PlanItem['error'] {
  if (error?.code !== 'VM_NOT_FOUND' || leftAt !== null || byHand !== null) return error;
  return notFound(item.vm.name, (back ? item.destination : item.source).endpoint);
}

/** The source of the way back is the destination of the way there. */
function seenFromThere(leftAt: PlanItem['leftAt']): PlanItem['leftAt'] {
  if (leftAt === 'source') return 'destination';
  return leftAt === 'destination' ? 'source' : leftAt;
}
