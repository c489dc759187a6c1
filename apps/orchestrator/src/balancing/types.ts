/**
 * What the engine works with. Everything here is plain data: the engine does no I/O, reads no clock, and answers the same to
 * the same question.
 */
import type { z } from 'zod';
import type {
  balancingDecisionSchema,
  balancingMemorySchema,
  balancingMoveSchema,
  balancingPassSchema,
  balancingPolicyInputSchema,
  balancingPolicySchema,
  balancingSettingsSchema,
  Resource,
} from '../schemas/balancing.ts';

export { RESOURCES, type Resource } from '../schemas/balancing.ts';

export type BalancingPolicy = z.infer<typeof balancingPolicySchema>;
export type BalancingPolicyInput = z.output<typeof balancingPolicyInputSchema>;
export type BalancingSettings = z.output<typeof balancingSettingsSchema>;
export type BalancingPass = z.infer<typeof balancingPassSchema>;
export type BalancingMove = z.infer<typeof balancingMoveSchema>;
export type Decision = z.infer<typeof balancingDecisionSchema>;
export type Memory = z.infer<typeof balancingMemorySchema>;

/** Cores, bytes, bytes per second; null: not known. */
export type Amounts = Readonly<Record<Resource, number | null>>;

export interface ObservedVm {
  readonly id: string;
  readonly name: string;
  readonly labels: readonly string[];
  readonly networks: readonly string[];
  readonly use: Amounts;
  /** All that has to cross the link. */
  readonly memoryBytes: number;
  readonly dirtyRateBytesPerSec: number | null;
  /** Why it cannot be moved now, after its name: "is being migrated"; null: it can. */
  readonly held: string | null;
}

export interface ObservedHost {
  readonly endpoint: string;
  readonly plugin: string;
  readonly capacity: Amounts;
  /** As the policy counts it. */
  readonly used: Amounts;
  /** null: not known. */
  readonly memoryFreeBytes: number | null;
  /** Those that run. */
  readonly vms: readonly ObservedVm[];
}

/** From one endpoint to another. */
export type Way =
  | { readonly usable: true /** null: nobody measured or set it. */; readonly rateBytesPerSec: number | null }
  | { readonly usable: false /** A sentence. */; readonly reason: string };

export interface Observation {
  /** In Unix milliseconds: what changed after that may be in it by half. */
  readonly beganAtMs: number;
  readonly hosts: readonly ObservedHost[];
  /** Endpoints that could not be asked, and why, as sentences. */
  readonly silent: readonly { readonly endpoint: string; readonly reason: string }[];
  /** VMs on their way, by whomever: they count where they go. */
  readonly inFlight: readonly { readonly vm: string; readonly source: string; readonly destination: string }[];
  /** VMs that have arrived from or at these endpoints lately, by whomever: another policy, a plan, a person. */
  readonly moved: readonly PastMove[];
  way(source: string, destination: string): Way;
}

/** A move that was begun. */
export interface PastMove {
  readonly vm: string;
  readonly source: string;
  readonly destination: string;
  readonly startedAtMs: number;
  /** null: under way. */
  readonly endedAtMs: number | null;
}

/** A VM that was to be moved and was not: an operator said no, or it was not possible. */
export interface SetBack {
  readonly vm: string;
  readonly atMs: number;
  /** A sentence. */
  readonly why: string;
}

export interface PlannedMove {
  readonly vm: { readonly id: string; readonly name: string };
  readonly source: string;
  readonly destination: string;
  readonly text: string;
  readonly gain: number;
  readonly cost: number;
  readonly estimatedMs: number;
  readonly isRepair: boolean;
  readonly expected: { readonly source: Amounts; readonly destination: Amounts };
}
