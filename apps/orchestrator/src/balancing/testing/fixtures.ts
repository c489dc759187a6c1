/**
 * Policies, hosts and VMs for tests of the engine, in the units that people think in.
 */
import { balancingSettingsSchema } from '../../schemas/balancing.ts';
import { decide, type Question } from '../decide.ts';
import { moveIdOf } from '../store.ts';
import type {
  BalancingMove,
  BalancingPass,
  BalancingSettings,
  Observation,
  ObservedHost,
  ObservedVm,
  Way,
} from '../types.ts';

const GIB = 2 ** 30;
export const MINUTE_MS = 60_000;
export const AT = '2026-01-01T00:00:00.000Z';
const OPEN: Way = { usable: true, rateBytesPerSec: 125_000_000 };

export const settings = (changes: object = {}): BalancingSettings =>
  balancingSettingsSchema.parse({
    endpoints: ['a', 'b', 'c'],
    confirmPasses: 1,
    cpu: { high: 0.85, low: 0.65 },
    ...changes,
  });

export interface VmSpec {
  readonly name: string;
  readonly cores: number;
  readonly gib?: number;
  readonly netBytesPerSec?: number;
  readonly dirtyRateBytesPerSec?: number | null;
  readonly held?: string;
  readonly labels?: readonly string[];
  readonly networks?: readonly string[];
}

export const vm = ({
  name,
  cores,
  gib = 2,
  netBytesPerSec = 0,
  dirtyRateBytesPerSec = 0,
  held,
  labels = [],
  networks = [],
}: VmSpec): ObservedVm => ({
  ...{ id: `id-${name}`, name, labels, networks, memoryBytes: gib * GIB, dirtyRateBytesPerSec },
  use: { cpu: cores, memory: gib * GIB, network: netBytesPerSec },
  held: held ?? null,
});

/** Ten cores and 64 GiB, and nothing on it but its VMs. */
export function host(endpoint: string, vms: readonly VmSpec[]): ObservedHost {
  const guests = vms.map(vm);
  const sum = (of: (guest: ObservedVm) => number | null) =>
    guests.reduce((total, guest) => total + (of(guest) ?? 0), 0);
  const memory = sum(({ use }) => use.memory);
  return {
    ...{ endpoint, plugin: 'simulated', vms: guests },
    capacity: { cpu: 10, memory: 64 * GIB, network: 125_000_000 },
    used: { cpu: sum(({ use }) => use.cpu), memory, network: sum(({ use }) => use.network) },
    memoryFreeBytes: 64 * GIB - memory,
  };
}

export const observed = (hosts: readonly ObservedHost[], changes: Partial<Observation> = {}): Observation => ({
  ...{ beganAtMs: Date.parse(AT), hosts, silent: [], inFlight: [], moved: [], way: () => OPEN },
  ...changes,
});

/** One pass over these hosts, with nothing that went before. */
export const passOver = (hosts: readonly ObservedHost[], changes: Partial<Question> = {}) =>
  decide({
    policy: settings(),
    observation: observed(hosts),
    memory: { hosts: {} },
    ...{ past: [], setBacks: [], nowMs: 1_000_000_000 },
    ...changes,
  });

/** The first pass of a policy, with these moves. */
export const passOf = (
  policy: string,
  moves: readonly BalancingMove[],
  changes: Partial<BalancingPass> = {},
): BalancingPass => ({
  ...{ policy, number: 1, mode: 'automatic', at: AT, hosts: [], spread: 0, decisions: [], run: null, asked: false },
  moves: moves.map(({ id }) => id),
  ...changes,
});

/** From a to c, decided by the first pass. */
export const moveOf = (policy: string, changes: Partial<BalancingMove> = {}): BalancingMove => ({
  ...{ id: moveIdOf(policy, 1, 'id-large', 'c', AT), policy, pass: 1, vm: { id: 'id-large', name: 'large' } },
  ...{ source: 'a', destination: 'c', state: 'decided', text: 'large goes.', gain: 0.4, cost: 0, estimatedMs: 1_000 },
  expected: { source: { cpu: 0.5, memory: 0, network: null }, destination: { cpu: 0.4, memory: 0, network: null } },
  ...{ isRepair: false, actual: null, request: null, migration: null, outcome: null, answeredBy: null },
  ...{ createdAt: AT, expiresAt: null, startedAt: null, endedAt: null },
  ...changes,
});
