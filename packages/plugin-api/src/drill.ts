/**
 * The verbs of one drill, in the order in which the workflow calls them:
 *
 *   check → prepare → copy → start               a copy of the VM runs at the destination, on isolated networks
 *             └────────┴───────┴─→ release       whatever was journalled, newest first: that is the undo
 *
 * A drill shows that a VM would come up at the destination. The VM itself runs on at the source, and its guest does not notice:
 * no verb here can pause, move, redefine or end it. Everything that is made is a `PluginResource` in the journal before the first
 * side effect. After a crash a new driver is made from the same request: `isRunning` and `release` need no memory of before.
 *
 * Once `copy` has resolved, the workflow releases what was made at the source (`end: 'source'`), before it calls `start`: a VM that
 * is to be moved for real does not wait for a drill of it longer than its disks take to cross.
 */
import type { CheckReport, MigrationProgress, PluginResource, Prepared, Routes } from './migration.ts';
import type { VmRef } from './plugin.ts';

/** What of a drill is asked for, of one VM. */
export interface DrillRequest<Options = unknown> {
  /** The record that it belongs to; names of what is made are derived from it. */
  readonly migrationId: string;
  readonly vm: VmRef;
  /** Of the plugin's own `optionsSchema`, parsed. */
  readonly options: Options;
  /** Source network name → isolated network at the destination. What is not named is not connected: its NICs have no link. */
  readonly networkMap: Readonly<Record<string, string>>;
  /** Source disk name → location at the destination: a hint as to where. The copy never gets the VM's own paths. */
  readonly diskMap: Readonly<Record<string, string>>;
  /** For the drill's own traffic, all streams together; `null` is unlimited. */
  readonly bandwidthBytesPerSec: number | null;
  /** Whether the traffic goes through a gateway pair (then it is encrypted on the way). */
  readonly tunnelled: boolean;
}

/** A copy that runs. */
export interface DrillCopy {
  /** Its own name and identifier, never those of the VM. */
  readonly vm: VmRef;
  /** What its NICs are connected to, at the destination. */
  readonly networks: readonly string[];
  /** As the guest's configuration names it, and where its bytes are at the destination. */
  readonly disks: readonly { readonly name: string; readonly location: string }[];
  /** ISO 8601: when it was seen to run. */
  readonly startedAt: string;
}

export interface DrillDriver {
  /** Everything that speaks for or against, at once; no side effects. */
  check(options: { signal: AbortSignal }): Promise<CheckReport>;
  /**
   * A point in time of the disks is held open at the source; what receives them listens at the destination. On failure it has
   * undone what it did, or journalled it.
   * @throws PluginError BUSY, NOT_MIGRATABLE when the VM is not to be had: somebody moves or copies it, or it does not run at the source
   */
  prepare(options: { signal: AbortSignal }): Promise<Prepared>;
  /**
   * The disks cross, through `routes`. Resolves when all bytes are at the destination and what listened there is closed; nothing
   * of the drill goes over the link any more. When `signal` aborts, it stops and rejects with ABORTED.
   *
   * One of which neither progress nor work is heard for `timeouts.noProgressMs` is stopped. `onWork` is for where progress is too coarse:
   * it is called when the copying was seen to have gone on since, by something that stands still when the copying does.
   */
  copy(
    prepared: Prepared,
    routes: Routes,
    options: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void; onWork?: () => void },
  ): Promise<void>;
  /**
   * Defines and starts the copy, and sees it run: with a name (`NAME-drill-…`), an identifier, MAC addresses and firmware variables of
   * its own, on isolated networks only. Needs nothing of the source.
   */
  start(prepared: Prepared, options: { signal: AbortSignal }): Promise<DrillCopy>;
  /** Whether the copy runs, read-only. */
  isRunning(options: { signal: AbortSignal }): Promise<boolean>;
  /**
   * Takes one journalled resource away, at its end alone. Idempotent; "not there" is done; only what this drill made, by its name
   * and by a mark of its own.
   */
  release(resource: PluginResource, options: { signal: AbortSignal }): Promise<void>;
}
