/**
 * The life of a migration: every phase with its meaning, and the one table of transitions.
 *
 *   queued → checking → provisioning → preparing → connecting → performing → confirming → tearing-down
 *      └────────┴────────────┴─────────────┴────────────┴────────────┴────────────┴──────────→ │
 *                                                                    succeeded | failed | cancelled
 *
 * A drill goes the same way, and waits in `kept` between `confirming` and `tearing-down`. A VM that is powered off goes it as well, without
 * `provisioning` and `connecting` where both ends see its disks.
 * A direct migration, which goes from host to host, skips `provisioning` and `connecting`. Every way out leads through
 * `tearing-down`: nothing ends before everything was tried to be taken down. The outcome is decided before the teardown
 * and never changed by it.
 */

export const PHASES = [
  /** Accepted and stored; waits for a worker or for admission. */
  'queued',
  /** Both ends are looked at; nothing is touched. */
  'checking',
  /** Two gateways are put in place and joined by a tunnel. */
  'provisioning',
  /** The destination is made ready to receive. */
  'preparing',
  /** The gateways learn the destination's addresses and offer theirs to the source. */
  'connecting',
  /** The guest's memory and disks move while it runs; of a drill, and of a VM that is off, its disks are copied. */
  'performing',
  /** Hand-over: the guest is started at the destination and verified there, the source is tidied. Of a drill: its copy is started. Of a VM that is off: its definition changes sides. */
  'confirming',
  /** Of a drill: its copy runs on isolated networks, until its time is over or somebody ends it. No run has it meanwhile. */
  'kept',
  /** Everything made for this migration is taken away, newest first. */
  'tearing-down',
  /** The VM runs at the destination, seen there; of a drill, its copy ran there; one that was off is there, off. */
  'succeeded',
  /** It did not work; `where` says where the VM is, `error` why. */
  'failed',
  /** Stopped on request; the VM is at the source. */
  'cancelled',
] as const;
export type Phase = (typeof PHASES)[number];

export const OUTCOMES = ['succeeded', 'failed', 'cancelled'] as const satisfies readonly Phase[];
export type Outcome = (typeof OUTCOMES)[number];

/** From each phase, where it may go. A recovery starts in whatever phase the lost run was in. */
export const TRANSITIONS: Readonly<Record<Phase, readonly Phase[]>> = {
  queued: ['checking', 'tearing-down'],
  checking: ['provisioning', 'preparing', 'tearing-down'],
  provisioning: ['preparing', 'tearing-down'],
  preparing: ['connecting', 'performing', 'confirming', 'tearing-down'],
  connecting: ['performing', 'confirming', 'tearing-down'],
  performing: ['confirming', 'tearing-down'],
  confirming: ['kept', 'tearing-down'],
  kept: ['tearing-down'],
  'tearing-down': ['succeeded', 'failed', 'cancelled'],
  succeeded: [],
  failed: [],
  cancelled: [],
};

export function isOutcome(phase: Phase): phase is Outcome {
  return phase === 'succeeded' || phase === 'failed' || phase === 'cancelled';
}

export function mayFollow(from: Phase, to: Phase): boolean {
  return TRANSITIONS[from].includes(to);
}
