/**
 * One run of one migration: the claim on the record, the record itself, and the news that reach it from outside.
 *
 * Invariants: every write and every side effect is preceded by a look at the claim; writes go out one after the other, and
 * none waits behind mere progress, of which only the newest is kept; a run that cannot renew its lease is lost before the lease
 * ends, as another one may act then; after `lost` has aborted nothing is written, touched or taken down by this run any more. The run owns its lease.
 */
import { randomUUID } from 'node:crypto';
import { addressesNeed, type Need } from '../admission/groups.ts';
import { errorCode, isSuperseded, LmasError } from '../errors.ts';
import { childForMigration, type Logger } from '../log.ts';
import type { JournalEntry } from '../migrations/journal-entry.ts';
import { isOutcome, mayFollow, type Phase } from '../migrations/phases.ts';
import { type EventType, type Migration, now, type StoredMigration } from '../migrations/record.ts';
import type { Claim, ClaimedMigration, ClaimRefusal, MigrationStore } from '../migrations/store.ts';
import { Journal } from './journal.ts';
import { LeaseClock } from './lease-clock.ts';
import { turns } from './turns.ts';

export type Notes = StoredMigration['notes'];
type Beside = Pick<Migration, 'cancelRequestedAt' | 'pointOfNoReturnAt'>;
type Draft = { migration: Migration; notes: Notes };
type Change = (draft: Draft) => void;
/** Told of every change that was written, and whether the run that wrote it goes on where another was lost. */
export type ChangeObserver = (before: Migration, after: Migration, run: { readonly isRecovery: boolean }) => void;
export interface RunOptions {
  /** Who holds the leases: started again, it need not wait for those of its dead self (see `dropLeases`). */
  readonly instance: string;
  readonly leaseMs: number;
  readonly log: Logger;
  readonly onChange?: ChangeObserver;
}
type Event = { readonly type: EventType; readonly message: string };

export class Run {
  readonly id: string;
  readonly log: Logger;
  readonly journal: Journal;
  readonly #store: MigrationStore;
  readonly #claim: Claim;
  readonly #isRecovery: boolean;
  /** What its check has found that the migration needs, once it has it. */
  #need: Need | null;
  readonly #leaseMs: number;
  readonly #onChange: ChangeObserver | undefined;
  readonly #lost = new AbortController();
  readonly #cancelled = new AbortController();
  readonly #lease: LeaseClock;
  #version: number;
  #stored: StoredMigration;
  /** What is written beside the record. A record write that is under way knows nothing of it and must not undo it. */
  readonly #beside: Beside;
  #writes: Promise<void> = Promise.resolve();
  #writing = 0;
  #isPassing = false;
  /** The newest progress that no write has taken along yet. */
  #progress: { readonly change: Change; readonly event: Event } | undefined;

  private constructor(
    store: MigrationStore,
    claimed: ClaimedMigration,
    entries: readonly JournalEntry[],
    { leaseMs, log, onChange, sentAt }: RunOptions & { sentAt: number },
  ) {
    this.id = claimed.claim.id;
    this.#store = store;
    this.#claim = claimed.claim;
    this.#isRecovery = claimed.claim.token > 1 && !claimed.handedBack;
    this.#need = claimed.need;
    this.#version = claimed.version;
    this.#stored = claimed.stored;
    const { cancelRequestedAt, pointOfNoReturnAt } = claimed.stored.migration;
    this.#beside = { cancelRequestedAt, pointOfNoReturnAt };
    this.#leaseMs = leaseMs;
    this.#onChange = onChange;
    this.log = childForMigration(log, { migration: this.id, run: claimed.claim.token });
    this.journal = new Journal(entries, (entry) => this.#heeding(() => store.writeJournal(claimed.claim, entry)));
    this.#heedCancel(cancelRequestedAt);
    this.#lease = new LeaseClock(leaseMs, { renew: () => void this.look(), onLapse: () => this.#lapse() });
    this.#lease.holdFrom(sentAt);
  }

  /** Takes a migration up. `busy`: another run holds it; `ended`: nothing is left to do; `waiting`: not admitted yet. */
  static async claim(store: MigrationStore, id: string, options: RunOptions): Promise<Run | ClaimRefusal> {
    const sentAt = performance.now();
    const claimed = await store.claim(id, `${options.instance}.${randomUUID()}`, options.leaseMs);
    if (typeof claimed === 'string') return claimed;
    const entries = await store.readJournal(id);
    return new Run(store, claimed, entries, { ...options, sentAt });
  }

  get migration(): Migration {
    return this.#stored.migration;
  }
  get notes(): Notes {
    return this.#stored.notes;
  }
  get token(): number {
    return this.#claim.token;
  }
  /** The point of no return was passed, or is being passed: whoever has asked for that goes on at the answer. */
  get isPastNoReturn(): boolean {
    return this.#isPassing || this.migration.pointOfNoReturnAt !== null;
  }
  /** An earlier run had this migration, and did not hand it back in order. */
  get isRecovery(): boolean {
    return this.#isRecovery;
  }
  /** Aborts when this run must not act any more: taken over, or the process is going down. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }
  /** Aborts, with LmasError CANCELLED, when somebody asked for a cancel. */
  get cancelled(): AbortSignal {
    return this.#cancelled.signal;
  }

  #heedCancel(cancelRequestedAt: string | null): void {
    if (cancelRequestedAt === null) return;
    this.#layOver({ cancelRequestedAt });
    this.#cancelled.abort(new LmasError('CANCELLED'));
  }

  #layOver(news: Partial<Beside>): void {
    Object.assign(this.#stored.migration, Object.assign(this.#beside, news));
  }

  abandon(reason: LmasError = new LmasError('SUPERSEDED')): void {
    this.#lease.stop();
    this.#lost.abort(reason);
  }

  /** Await it before every side effect. @throws LmasError SUPERSEDED */
  async assertCurrent(): Promise<void> {
    this.#lost.signal.throwIfAborted();
    await this.#renew();
    this.#lost.signal.throwIfAborted();
  }

  async #renew(): Promise<{ cancelRequestedAt: string | null }> {
    const sentAt = performance.now();
    const answer = await this.#heeding(() => this.#store.renew(this.#claim, this.#leaseMs));
    this.#lease.holdFrom(sentAt);
    return answer;
  }

  #lapse(): void {
    this.log.warn({}, 'the lease could not be renewed in time; another run may go on');
    this.abandon(new LmasError('INTERRUPTED', 'Redis did not answer for longer than the lease lasts.'));
  }

  /** Speaks to the store, and leaves when it says that this run must not go on. */
  async #heeding<T>(speak: () => Promise<T>): Promise<T> {
    try {
      return await speak();
    } catch (error) {
      if (errorCode(error) === 'WRITES_FORGOTTEN') await this.#startOver();
      else if (isSuperseded(error)) this.abandon();
      throw error;
    }
  }

  /**
   * Redis has forgotten some of what this run wrote: nothing is built on it any more. What the run knows is put back, so that
   * the next one, which looks first, knows it too.
   */
  async #startOver(): Promise<void> {
    if (this.#lost.signal.aborted) return;
    this.log.error({}, 'Redis has forgotten what was written; the next run starts by asking where the VM is');
    this.abandon(new LmasError('INTERRUPTED', 'Redis has forgotten what this run wrote.'));
    const known = { version: this.#version, stored: this.#stored, journal: this.journal.entries(), need: this.#need };
    await this.#store
      .restore(this.#claim, known)
      .catch((error: unknown) => this.log.warn({ err: error }, 'what this run knew could not be put back'));
  }

  /** Changes the record; with `event`, tells everybody who follows it. */
  update(change: Change, event?: Event): Promise<void> {
    this.#writing += 1;
    const write = this.#writes.then(() => this.#write(change, event)).finally(() => this.#afterWrite());
    // A failed write is its caller's to handle; those that come after it are tried all the same.
    this.#writes = write.catch(() => undefined);
    return write;
  }

  /** Records progress when nothing else is being written; until then a newer one takes its place. */
  report(change: Change, event: Event): void {
    this.#progress = { change, event };
    if (this.#writing === 0) this.#writeProgress();
  }

  async #write(change: Change, event: Event | undefined): Promise<void> {
    await turns.next();
    this.#lost.signal.throwIfAborted();
    const draft = structuredClone(this.#stored);
    this.#progress?.change(draft); // what waits goes along
    this.#progress = undefined;
    change(draft);
    await this.#heeding(() => this.#store.write(this.#claim, this.#version, draft, event));
    const before = this.#stored.migration;
    this.#version += 1;
    this.#stored = draft;
    this.#layOver({});
    this.#onChange?.(before, draft.migration, this);
  }

  #writeProgress(): void {
    const progress = this.#progress;
    if (progress === undefined || this.#lost.signal.aborted) return;
    this.#progress = undefined;
    this.update(progress.change, progress.event).catch((error: unknown) => {
      if (!this.#lost.signal.aborted) this.log.warn({ err: error }, 'progress could not be recorded');
    });
  }

  #afterWrite(): void {
    this.#writing -= 1;
    if (this.#writing === 0) this.#writeProgress();
  }

  /** Enters a phase, if it is not there already. */
  async enter(phase: Phase, change: Change = () => undefined): Promise<void> {
    const { phase: from } = this.migration;
    if (from !== phase && !mayFollow(from, phase)) throw new LmasError('INTERNAL', `No way from ${from} to ${phase}.`);
    this.log.info({ phase }, 'phase');
    const at = now();
    await this.update(
      (draft) => {
        if (from !== phase) draft.migration.timeline.push({ phase, startedAt: at });
        draft.migration.phase = phase;
        if (isOutcome(phase)) draft.migration.endedAt = at;
        change(draft);
      },
      { type: isOutcome(phase) ? 'end' : 'phase', message: phase },
    );
  }

  /** Reserves the VM under one more name. @throws LmasError VM_ALREADY_MIGRATING */
  async lock(lockKey: string): Promise<void> {
    if (!this.notes.locks.includes(lockKey)) await this.update(({ notes }) => notes.locks.push(lockKey));
    // Also where it was noted before: the run that did so may have died before it had it.
    await this.#heeding(() => this.#store.lock(this.#claim, lockKey));
  }

  /** Gives back every name of the VM that it holds: nothing of this migration is in another one's way any more. */
  async unlock(): Promise<void> {
    if (this.notes.locks.length === 0) return;
    // Given back first: a name that nobody noted would be held for ever.
    for (const lockKey of this.notes.locks) await this.#heeding(() => this.#store.unlock(this.#claim, lockKey));
    await this.update(({ notes }) => {
      notes.locks = [];
    });
  }

  /**
   * Takes a pair of hosts, in place of the one it has. It is given back at the end, whatever happens.
   * @returns the id of whoever has it, or comes first; `undefined`: it is ours
   */
  async takeHosts(pair: string): Promise<string | undefined> {
    const holder = await this.#heeding(() => this.#store.takeHosts(this.#claim, this.migration, pair));
    if (holder === undefined) this.#need = pair;
    return holder;
  }

  /**
   * Takes `count` of the `limit` addresses of the source's gateway machine, in place of those it has. They are given back at the end.
   * @returns the id of one that has some, or comes first; `undefined`: they are ours
   */
  async takeAddresses(addresses: { readonly count: number; readonly limit: number }): Promise<string | undefined> {
    const holder = await this.#heeding(() => this.#store.takeAddresses(this.#claim, this.migration, addresses));
    if (holder === undefined) this.#need = addressesNeed(addresses.count);
    return holder;
  }

  /** Gives up its hosts or addresses, before a pause in which others may have them. */
  async letNeedGo(): Promise<void> {
    if (this.#need === null) return;
    await this.#heeding(() => this.#store.letNeedGo(this.#claim, this.migration));
    this.#need = null;
  }

  /**
   * Puts the migration back into the queue, to wait for what it needs: whoever is given it with that goes on. Nothing may be
   * under way. This run is over then, and `lost`, also when nobody can say whether it is done.
   */
  async handBack(waiting: { readonly need: Need; readonly untilMs: number }): Promise<void> {
    const handBack = () => this.#store.handBack(this.#claim, this.migration, waiting);
    await this.#leave(handBack, 'The migration waits in the queue for what it needs.');
  }

  /** Leaves a drill whose copy runs to itself, until a time or a cancel. This run is over then, and `lost`. */
  async keep(untilMs: number): Promise<void> {
    await this.#leave(() => this.#store.keep(this.#claim, untilMs), 'The copy of the drill is kept.');
  }

  async #leave(write: () => Promise<void>, why: string): Promise<void> {
    await this.#writes;
    this.#lease.stop();
    try {
      await this.#heeding(write);
    } finally {
      this.abandon(new LmasError('SUPERSEDED', why));
    }
  }

  /**
   * From here on a cancel is answered with 409. One round trip: the guest may stand still meanwhile.
   * @throws LmasError CANCELLED when a cancel came first, SUPERSEDED
   */
  async passPointOfNoReturn(): Promise<void> {
    this.#lost.signal.throwIfAborted();
    if (this.migration.pointOfNoReturnAt !== null) return;
    const at = now();
    this.#isPassing = true;
    try {
      await this.#heeding(() => this.#store.passPointOfNoReturn(this.#claim, at));
      this.#layOver({ pointOfNoReturnAt: at });
    } finally {
      this.#isPassing = false;
    }
    this.log.info({}, 'point of no return');
  }

  /** Takes the finished migration off the books. */
  async end(): Promise<void> {
    await this.#writes;
    const { phase, teardown } = this.migration;
    const complete = teardown !== 'incomplete';
    await this.#heeding(() => this.#store.end(this.#claim, { locks: this.notes.locks, phase, complete }));
  }

  /** Stops renewing and gives the lease back, so that the next run need not wait for it to expire. */
  async close(): Promise<void> {
    this.#lease.stop();
    await this.#writes;
    await this.#store.letGo(this.#claim);
  }

  /** Renews the lease, and sees whether a cancel was asked for. */
  async look(): Promise<void> {
    if (this.#lost.signal.aborted) return;
    try {
      const { cancelRequestedAt } = await this.#renew();
      this.#heedCancel(cancelRequestedAt);
    } catch (error) {
      if (!this.#lost.signal.aborted) this.log.warn({ err: error }, 'the lease could not be renewed');
    }
  }
}
