/**
 * The verbs of one migration, in the order in which the workflow calls them:
 *
 *   check → prepare → perform → confirm          the VM ends at the destination
 *                  ↘ abort                       the VM stays at the source
 *   locate                                       at any time, without side effects
 *
 * After a crash a new driver is made from the same request: `locate`, `confirm`, `abort`, `follow` and `release` need no
 * memory of what happened before. Invariant of every implementation: the guest never executes at both ends, and
 * nothing is resumed at one end unless the other has answered on a live connection that it does not run the VM.
 */
import type { VmPlacement } from './placement.ts';
import type { Logger, VmRef } from './plugin.ts';

/** JSON and nothing else: it is stored in the record and read back by another process. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue };

/**
 * What matters most when a guest’s dirty rate exceeds what the link carries. Each plugin says what that is for its hypervisor;
 * none of them implies post-copy.
 */
export const CONVERGENCES = [
  /** As the hypervisor does it by itself. */
  'balanced',
  /** A pause that users hardly notice; the guest may be slowed down for it. */
  'fast-switchover',
  /** The shortest pause, and the guest is not slowed down; it may never get across. */
  'never-pause',
  /** It gets across: the guest may be slowed down hard, and stand still for seconds at the end. */
  'must-finish',
] as const;
export type Convergence = (typeof CONVERGENCES)[number];

/** What can be changed of a policy while the migration runs. */
export interface ConvergencePolicy {
  readonly convergence: Convergence;
  /** As in the request: a number counts for more than the policy. */
  readonly maxDowntimeMs: number | null;
}

export interface MigrationRequest<Options = unknown> {
  readonly migrationId: string;
  readonly vm: VmRef;
  /** Of the plugin's own `optionsSchema`, parsed. */
  readonly options: Options;
  /** Source network name → destination network name; a network that is not named keeps its name. */
  readonly networkMap: Readonly<Record<string, string>>;
  /** Source disk name → location at the destination; what is not named keeps its location. */
  readonly diskMap: Readonly<Record<string, string>>;
  /**
   * Source and destination are one endpoint: the VM stays on its host, and its disks go where the map and the options say. It is at the
   * "destination" once they are all there, and at the "source" until then. Never through a tunnel. Only with `capabilities.movesDisksAlone`.
   */
  readonly disksAlone?: boolean | undefined;
  /**
   * Disks at the destination that this migration may copy over: an earlier move of this very VM has left them there (`ConfirmReport.keptAtSource`),
   * and now it goes back. Each as that report calls it. They are named, not trusted: what another VM there uses is refused all the same. Default: none.
   */
  readonly mayReplace?: readonly string[] | undefined;
  /** Longest pause of the guest at switchover that is asked for; `null` leaves the hypervisor's default. */
  readonly maxDowntimeMs: number | null;
  readonly convergence: Convergence;
  /** For the migration's own traffic, all streams together; `null` is unlimited. */
  readonly bandwidthBytesPerSec: number | null;
  /** Whether the traffic goes through a gateway pair (then it is encrypted on the way). */
  readonly tunnelled: boolean;
  /** What there is to know of that gateway pair beforehand; absent for a direct migration. */
  readonly tunnel?: TunnelFacts | undefined;
}

export interface TunnelFacts {
  /** Whether it keeps secret what it carries; a tunnel may be told to only authenticate it. */
  readonly encrypts: boolean;
  /** The gateway machines as the hypervisors beside them see them: next hops of a transparent route. */
  readonly nextHops: { readonly source: string; readonly destination: string };
}

/** Something the plugin made that a rollback must take away again. Addressed by name, so that anybody can release it. */
export interface PluginResource {
  /** e.g. `volume`. */
  readonly kind: string;
  readonly id: string;
  readonly end: 'source' | 'destination';
  /** What `release` needs beyond the id; no secrets. */
  readonly data: { readonly [key: string]: JsonValue };
  /**
   * `vm`, by default: it belongs to the VM once that runs at the destination, and is taken away only where it does not.
   * `migration`: it serves the move alone (a route, a setting to be put back) and is taken away after every ending that is clear.
   */
  readonly lifetime?: 'vm' | 'migration' | undefined;
  /**
   * Several migrations may need the very same one; then its id is the same, and unique among all endpoints. It is taken away
   * with the last migration that has journalled it, and nobody journals it meanwhile.
   */
  readonly shared?: boolean | undefined;
  /**
   * Of a shared one: asked for, and not answered yet. Whoever else needs it waits until it is known whose it becomes. Journalled again
   * without it once it is made; withdrawn if it is somebody else's.
   */
  readonly pending?: boolean | undefined;
  /** While it is there, the migration's traffic may be in the clear: no barrier of its flows is taken away before it. */
  readonly behindBarrier?: boolean | undefined;
  /** It leads the migration's traffic to where the barrier stands: it is not taken away before all that stands `behindBarrier`. */
  readonly leadsToBarrier?: boolean | undefined;
  /**
   * Of one that serves the migration alone: it goes with the VM, so `release` is called also while the end of `end` is `unreachable`, and
   * says by its error whether that end is needed. Without it `release` waits for that end.
   */
  readonly atEitherEnd?: boolean | undefined;
  /** One sentence for a person who has to take it away, where nobody else may: what to do, and where. */
  readonly byHand?: string | undefined;
}

export interface MigrationContext {
  readonly log: Logger;
  /**
   * Writes the intent to make `resource` into the migration's journal. Await it before the first side effect. After a
   * commit only what serves the migration alone is released (`lifetime`); after a rollback `release` is called for each, newest first.
   */
  recordIntent(resource: PluginResource): Promise<void>;
  /**
   * For a `shared` resource that is there already: journals it if another migration has, and answers whether one had. If not,
   * nothing is written, and what is there is somebody else's. Waits while another migration has asked for it and was not answered: so
   * one's own intent is withdrawn before. Absent where no migration shares anything (a rehearsal).
   */
  joinHolders?(resource: PluginResource): Promise<boolean>;
  /**
   * Takes the intent back: what was to be made is there already, and somebody else's, who is no migration. From then on nobody
   * releases it. Absent where `joinHolders` is.
   */
  withdrawIntent?(resource: PluginResource): Promise<void>;
  /** Await it before every side effect. @throws PluginError SUPERSEDED when another run has taken over. */
  assertCurrent(): Promise<void>;
}

export interface Finding {
  /** `blocker` refuses the migration; `warning` is shown and does not; `note` is worth knowing, and nothing is wrong. */
  readonly severity: 'blocker' | 'warning' | 'note';
  /** Stable, upper case: `CPU_INCOMPATIBLE`. */
  readonly code: string;
  readonly message: string;
  /** What to do about it; of a note, what else could be had. */
  readonly remedy: string;
}

export interface CheckReport {
  /** All of them at once. */
  readonly findings: readonly Finding[];
  /** What will have to cross the link at least, for predictions. */
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** The dirty rate now, where the hypervisor can tell and the guest does not notice; else null. */
  readonly dirtyRateBytesPerSec?: number | null;
  /** Standard error of that, where it is known. */
  readonly dirtyRateErrorBytesPerSec?: number;
  /**
   * Where endpoints have many hosts (`capabilities.manyHosts`): the two between which it would go, unique among all endpoints.
   * Where these are the same, a migration through gateways waits for every other one, and every other one for it. For a plugin whose
   * traffic can be intercepted (`capabilities.transparentRoute`), and left out where that of this migration goes redirected.
   */
  readonly hosts?: { readonly source: string; readonly destination: string } | undefined;
  /**
   * How many `addressGroup`s its flows will have: so many addresses of the gateway machine at the source it takes for itself. It
   * waits until so many are free. Default: none.
   */
  readonly gatewayAddresses?: number | undefined;
}

/** One kind of traffic that the source host will want to send to an address at the destination. */
export interface Flow {
  /** Unique within the migration, fit for a route id: `memory`, `disks`. */
  readonly id: string;
  /** Where it would go without a gateway: what the gateway at the destination has to dial. */
  readonly host: string;
  readonly port: number;
  readonly maxStreams: number;
  readonly priority: 'bulk' | 'interactive';
  /**
   * Once data flows, its streams must outlive every outage of the link, however long: a reset would leave the guest
   * without its memory (post-copy). Without it they are reset after the tunnel's grace time.
   */
  readonly outlivesOutages?: boolean | undefined;
  /**
   * The source can be told another address but no other port: the gateway has to listen at `port` itself. Flows of one
   * group get one address, flows of two groups two. Without it the route may be at any port.
   */
  readonly addressGroup?: string | undefined;
}

/**
 * Traffic of a hypervisor that cannot be told an address: it goes to the destination's own, and the gateways at both sites have to be on its
 * way (docs/transparent-mode.md). Only what is named here is intercepted. A migration's pairs are two exact addresses each, because two migrations
 * between the same hosts cannot be told apart: the second one is refused with PAIR_IN_USE.
 */
export interface TransparentFlow extends Pick<Flow, 'id' | 'maxStreams' | 'priority' | 'outlivesOutages'> {
  /** Who connects, and to whom: numeric addresses, both IPv4 or both IPv6. */
  readonly pairs: readonly { readonly source: string; readonly destination: string }[];
  /** TCP ports at the destination. */
  readonly ports: readonly (number | { readonly from: number; readonly to: number })[];
  /**
   * What it carries may never pass in the clear: from before `perform` on, both gateway machines refuse what of it they do not take, and
   * connections the other way to the same ports, whatever becomes of their gateways. They do so until everything that stands
   * `behindBarrier` has been released. Without it, what is not taken is forwarded.
   */
  readonly barrier?: boolean | undefined;
}

export interface Prepared {
  /** What `perform` is told routes for. */
  readonly flows: readonly Flow[];
  /** What needs no route, because it is intercepted. Through no tunnel it goes by itself. */
  readonly transparentFlows?: readonly TransparentFlow[] | undefined;
  /** Addresses from which the source will connect. */
  readonly sourceAddresses: readonly string[];
  /** The plugin's own notes for `perform`, `confirm` and a recovery. Stored in the record: no secrets. */
  readonly state: JsonValue;
  /**
   * True: nothing but our own `confirm` lets the guest go at the destination, so that it cannot have run there before
   * `onPointOfNoReturn`. Default: the hypervisor may take that step by itself at any time once `perform` has begun, with nobody there to hear of it.
   */
  readonly onlyConfirmLetsGo?: boolean | undefined;
  /**
   * True: the hypervisor alone starts and stops the guest, at both ends, so that none is left paused for somebody to resume; nobody is told to
   * do that by hand then. Default: one may be.
   */
  readonly neverLeftPaused?: boolean | undefined;
  /**
   * What the report is to say where the VM arrives and the source never answers again. `warnings`: what `confirm` does at the destination only
   * once the source is tidied, in words.
   */
  readonly atSource?:
    | (Pick<ConfirmReport, 'keptAtSource' | 'sourceDefinition'> & { readonly warnings?: readonly string[] | undefined })
    | undefined;
}

/** Where the source has to connect for each flow: the flow's own address, or a gateway's. Keyed by `Flow.id`. */
export type Routes = Readonly<Record<string, { readonly host: string; readonly port: number }>>;

export interface MigrationProgress {
  /** What the hypervisor is at: `disks`, `memory`, `switchover`, `post-copy`. */
  readonly stage: 'disks' | 'memory' | 'switchover' | 'post-copy';
  /** 0 to 100, never decreasing. */
  readonly percent: number;
  readonly bytesTotal: number;
  readonly bytesTransferred: number;
  readonly bytesRemaining: number;
  readonly rateBytesPerSec: number | null;
  readonly dirtyRateBytesPerSec: number | null;
  /**
   * How much of a page that goes again is sent now, 0 to 1, where the hypervisor sends what has changed in it: so much faster than the link
   * carries bytes do pages get across. Left out where pages go whole.
   */
  readonly sentShareOfPages?: number | undefined;
  /**
   * The option that would make the hypervisor send differences, where it could for this VM and does not; for people, who are told of it when
   * the dirty rate exceeds what the link carries. Left out where they are sent already, also while no share is known yet.
   */
  readonly differencesOption?: string | undefined;
  /** Pre-copy pass, from 1. */
  readonly iteration: number | null;
}

export interface ConfirmReport {
  /** As the hypervisor reports it. */
  readonly downtimeMs: number | null;
  readonly bytesTransferred: number | null;
  readonly iterations: number | null;
  /**
   * What was left at the source on purpose, for the operator to remove: disks, the old definition. Of kind `disk`: what a later move to where it lies
   * is told that it may replace (`mayReplace`), under the id that is given here.
   */
  readonly keptAtSource: readonly { readonly kind: string; readonly id: string }[];
  /** The VM's definition as it was at the source, so that it can be put back by hand. */
  readonly sourceDefinition: string | null;
  readonly warnings: readonly string[];
}

export interface MigrationDriver {
  /**
   * Every blocker and warning at once, and nothing is changed: no guest, no definition, nothing that would have to be taken away again. What
   * measures for a moment and is gone by itself is allowed, where the guest does not notice (the dirty rate of KVM).
   */
  check(options: { signal: AbortSignal }): Promise<CheckReport>;
  /**
   * Makes the destination ready to receive. On failure it has undone what it did, or journalled it.
   * @throws PluginError BUSY, NOT_MIGRATABLE when the VM is not to be had (somebody else migrates it, it does not run at
   * the source, the destination knows it already): with these two codes nothing of the VM was touched at either end,
   * and `abort` is not called, since what is under way there is somebody else's
   */
  prepare(options: { signal: AbortSignal }): Promise<Prepared>;
  /**
   * Moves the VM up to the point where the source guest stands still with everything sent. When `signal` aborts, it asks the hypervisor to
   * stop and rejects with ABORTED once that has happened; the caller then calls `abort`.
   * `onPointOfNoReturn` is called, and awaited, before the step after which a cancel can no longer be honoured.
   */
  perform(
    prepared: Prepared,
    routes: Routes,
    options: {
      signal: AbortSignal;
      onProgress: (progress: MigrationProgress) => void;
      onPointOfNoReturn: () => Promise<void>;
    },
  ): Promise<void>;
  /**
   * Starts the guest at the destination if that is still to be done, verifies that it runs there, and takes from the
   * source what could run. Idempotent. Without the memory of `perform` (after a crash) it only finishes what `locate`
   * shows to be at the destination.
   * @throws PluginError OUTCOME_UNKNOWN when it could not be made sure; nothing was destroyed or resumed then. Any error
   * with `arrived`: the guest was let go at the destination, the source could not be tidied; call it again, never `abort`
   */
  confirm(prepared: Prepared, options: { signal: AbortSignal }): Promise<ConfirmReport>;
  /**
   * Stops what still moves and brings the VM back to running at the source, unless it runs at the destination or
   * nobody there could be asked. Idempotent, works with no memory of before; answers where the VM is afterwards.
   * `performed: false` says that `perform` was never called: a migration that is under way is somebody else's then, and
   * not to be stopped. Default true.
   * `pastNoReturn: false` says that `onPointOfNoReturn` never was: a destination that is silent is no reason then not to stop at the
   * source what moves, and a plugin that alone lets the guest go knows where it runs. Default true.
   * `late: true` says that all this was long ago, and that people were told of it: what moves now may be theirs, and is stopped only
   * where a mark at the hypervisor proves that it is this migration. Default false.
   */
  abort(options: {
    signal: AbortSignal;
    performed?: boolean;
    pastNoReturn?: boolean;
    late?: boolean;
  }): Promise<VmPlacement>;
  /** Asks both ends. No side effects; never throws for an end that does not answer (`unreachable`). */
  locate(options: { signal: AbortSignal }): Promise<VmPlacement>;
  /** Follows a migration that went on without us to its end (`capabilities.survivesController`); then call `locate`. */
  follow(options: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void }): Promise<void>;
  /**
   * Takes a post-copy migration to its end, with no memory of before: waits while it goes on by itself, takes it up again
   * when its streams broke. `perform` does the same; this is for a recovery. Only with `capabilities.postCopy`.
   * @throws PluginError OUTCOME_UNKNOWN when it does not come to life; nothing was destroyed or resumed then
   */
  recoverPostCopy?(
    prepared: Prepared,
    routes: Routes,
    options: { signal: AbortSignal; onProgress: (progress: MigrationProgress) => void },
  ): Promise<void>;
  /**
   * Takes a journalled resource away. Idempotent; "not there" is done; never takes what it did not make. For one that serves the migration
   * alone (`lifetime`) the end where it is not may be `unreachable`: it is an error then if that end is needed, never an answer.
   */
  release(resource: PluginResource, options: { signal: AbortSignal }): Promise<void>;
  /**
   * Changes the policy while it runs, as far as the hypervisor lets it. Safe to repeat. Answers, in words, what stays as
   * it was. A plugin without it takes no changes.
   */
  setConvergence?(policy: ConvergencePolicy, options: { signal: AbortSignal }): Promise<readonly string[]>;
  /** Changes the bandwidth limit while it runs; `null` is unlimited. */
  setBandwidth(bandwidthBytesPerSec: number | null, options: { signal: AbortSignal }): Promise<void>;
}
