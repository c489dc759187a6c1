/**
 * The verbs of one relocation, in the order in which the workflow calls them: a VM that is powered off moves, and stays off.
 *
 *   check → prepare → copy → place               the destination alone has it
 *             └────────┴─→ release               whatever was journalled, newest first: that is the undo
 *   locate                                       at any time, without side effects
 *
 * Nothing executes, so what must never be there twice is what can be *started*. For as long as the source has its definition, that one
 * counts: the VM is at the source, and what was made at the destination can be taken away again. A definition that the destination gets
 * before the source has lost its own is `held`: nobody can start it. So there is one that can be started, or none for the moment of
 * the change, never two; and there is always one at all.
 *
 * After a crash a new driver is made from the same request: `locate` and `release` need no memory of before, and `place` none but what
 * `prepare` has answered.
 */
import type { CheckReport, ConfirmReport, MigrationProgress, PluginResource, Prepared, Routes } from './migration.ts';
import type { Presence, Where } from './placement.ts';
import type { VmRef } from './plugin.ts';

/** What of a relocation is asked for, of one VM. */
export interface RelocationRequest<Options = unknown> {
  /** The record that it belongs to. */
  readonly migrationId: string;
  readonly vm: VmRef;
  /** Of the plugin's own `optionsSchema`, parsed. */
  readonly options: Options;
  /** Source network name → destination network name; a network that is not named keeps its name. */
  readonly networkMap: Readonly<Record<string, string>>;
  /** Source disk name → location at the destination; what is not named keeps its location. */
  readonly diskMap: Readonly<Record<string, string>>;
  /** For what is copied, all streams together; `null` is unlimited. */
  readonly bandwidthBytesPerSec: number | null;
  /** Whether the traffic goes through a gateway pair (then it is encrypted on the way). */
  readonly tunnelled: boolean;
}

/** What one end answered. `held`: a definition that a relocation has put there, and that cannot be started yet. */
export type RelocatedPresence = Presence | 'held';

export interface RelocationPlacement {
  readonly source: RelocatedPresence;
  readonly destination: RelocatedPresence;
  /** As `whereRelocated` has it. */
  readonly where: Where;
}

export interface RelocationDriver {
  /**
   * Everything that speaks for or against, at once; no side effects. `diskBytes` is what has to cross: 0 where both ends see the same
   * disks, and then no tunnel is made. That the VM is not powered off is a blocker.
   */
  check(options: { signal: AbortSignal }): Promise<CheckReport>;
  /**
   * What is copied gets a place at the destination, and what receives it listens; the VM does not start with its host any more.
   * On failure it has undone what it did, or journalled it.
   * @throws PluginError BUSY, NOT_MIGRATABLE when the VM is not to be had: it is not powered off, or somebody is at work on it
   */
  prepare(options: { signal: AbortSignal }): Promise<Prepared>;
  /** What is copied crosses, through `routes`. When `signal` aborts, it stops and rejects with ABORTED. */
  copy(
    prepared: Prepared,
    routes: Routes,
    options: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void; onWork?: () => void },
  ): Promise<void>;
  /**
   * Puts the definition at the destination, held; sees once more that the VM is off at the source; takes it away there; and lets the
   * one at the destination be started. Goes on from wherever a former call has come to, and from its own end as well.
   * @throws PluginError NOT_MIGRATABLE when the VM does not rest at the source any more: it stays there, and everything can be undone
   */
  place(prepared: Prepared, options: { signal: AbortSignal }): Promise<ConfirmReport>;
  /** Asks both ends, read-only. An end that does not answer is `unreachable`, never an error. */
  locate(options: { signal: AbortSignal }): Promise<RelocationPlacement>;
  /**
   * Takes one journalled resource away, at its end alone. Idempotent; "not there" is done; never takes what it did not make, nor a
   * definition that is not held any more. One that is held goes only while the source is seen to have its own: what was asked to take that
   * away may have been given up, and still be done.
   * @throws PluginError BUSY for a held definition that is the only one
   */
  release(resource: PluginResource, options: { signal: AbortSignal }): Promise<void>;
}

const isThere = (presence: RelocatedPresence): boolean => presence !== 'absent' && presence !== 'unreachable';

/**
 * Says where a VM is that a relocation moves. The source's definition counts while it is there, whatever the destination holds; one there
 * that is not held is `both`. A source that does not answer says nothing.
 */
export function whereRelocated(source: RelocatedPresence, destination: RelocatedPresence): Where {
  if (source === 'unreachable') return 'unknown';
  if (isThere(source)) return isThere(destination) && destination !== 'held' ? 'both' : 'source';
  return isThere(destination) ? 'destination' : 'unknown';
}
