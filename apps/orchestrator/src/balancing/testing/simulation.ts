/**
 * Days of a hall of hosts in a second: VMs whose use goes up and down with the time of day, wanders, and now and then bursts;
 * the same for the same seed, whoever balances. It counts what balancing does and how well the hosts fare.
 *
 * Contenders: the engine, as a policy has it by default; nobody; and a greedy balancer, which at each pass makes the moves that
 * bring the hosts closest together and remembers nothing.
 */
import { decide } from '../decide.ts';
import { counted, Projection, spreadOf } from '../projection.ts';
import type { BalancingSettings, Memory, Observation, ObservedHost, ObservedVm, PastMove } from '../types.ts';
import { settings } from './fixtures.ts';
import { seeded } from './random.ts';

const GIB = 2 ** 30;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const HOST = { cores: 32, memoryBytes: 256 * GIB };
const RATE_BYTES_PER_SEC = 1.25e9;

export interface SimulationOptions {
  readonly seed: number;
  readonly days: number;
  readonly hosts?: number;
  readonly vms?: number;
}

export interface SimulationResult {
  readonly passes: number;
  readonly moves: number;
  readonly movedBytes: number;
  /** The most in any one hour. */
  readonly worstHour: number;
  /** A VM that came back within six hours to a host that it was moved away from. */
  readonly returns: number;
  /** The mean of the spread, in points. */
  readonly spreadPoints: number;
  /** Of all passes and hosts: above `high`, per cent. */
  readonly tooBusyPct: number;
  /** Cores that were asked for beyond what there is, per cent of those asked for. */
  readonly lackingPct: number;
}

interface SimulatedVm {
  readonly id: string;
  readonly memoryBytes: number;
  readonly vcpus: number;
  readonly base: number;
  readonly swing: number;
  readonly phase: number;
  readonly dirtyRateBytesPerSec: number;
  drift: number;
  burstUntilMs: number;
  cores: number;
  host: string;
}

export interface Step {
  readonly observation: Observation;
  readonly past: readonly PastMove[];
  readonly nowMs: number;
}
type Proposal = {
  readonly vm: string;
  readonly source: string;
  readonly destination: string;
  readonly estimatedMs: number;
};
/** What a contender does at one pass. */
export type Balancer = (step: Step) => readonly Proposal[];

export const simulatedPolicy = (changes: object = {}): BalancingSettings =>
  settings({ endpoints: names(8), confirmPasses: 2, maxConcurrent: 2, cpu: {}, memory: { weight: 0.25 }, ...changes });

export function engine(policy: BalancingSettings): Balancer {
  let memory: Pick<Memory, 'hosts'> = { hosts: {} };
  return ({ observation, past, nowMs }) => {
    const answer = decide({ policy, observation, memory, past, setBacks: [], nowMs });
    memory = answer.memory;
    return answer.moves.map(({ vm, ...move }) => ({ ...move, vm: vm.id }));
  };
}

export const nobody: Balancer = () => [];

/** Whatever brings the hosts closer together now, as long as it fits and as many at once as the policy has. */
export function greedy(policy: BalancingSettings): Balancer {
  return ({ observation }) => {
    const projection = Projection.of(observation);
    const moves: Proposal[] = [];
    while (moves.length < policy.maxConcurrent) {
      const best = bestStep(projection, policy);
      if (best === undefined) break;
      projection.move([best.vm], best.source, best.destination);
      const estimatedMs = (best.vm.memoryBytes / RATE_BYTES_PER_SEC) * 1_000;
      moves.push({ vm: best.vm.id, source: best.source, destination: best.destination, estimatedMs });
    }
    return moves;
  };
}

/** The spread after each possible step by what the step changes in the sums of squares: of thousands, one is looked for. */
function bestStep(projection: Projection, policy: BalancingSettings) {
  const shares = counted(policy).map((resource) => {
    const uses = new Map(projection.endpoints.map((name) => [name, projection.uses(name)[resource] ?? 0] as const));
    const values = [...uses.values()];
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const squares = values.reduce((sum, value) => sum + value ** 2, 0);
    return { resource, uses, mean, squares, weight: policy[resource].weight };
  });
  const count = projection.endpoints.length;
  const spreadAfter = (vm: ObservedVm, source: string, destination: string): number =>
    shares.reduce((sum, { resource, uses, mean, squares, weight }) => {
      const [from, to] = [uses.get(source) ?? 0, uses.get(destination) ?? 0];
      const part = (vm.use[resource] ?? 0) / (projection.host(source)?.capacity[resource] ?? 1);
      const changed = squares - from ** 2 - to ** 2 + (from - part) ** 2 + (to + part) ** 2;
      return sum + weight * Math.sqrt(Math.max(0, changed / count - mean ** 2));
    }, 0);
  let best: { vm: ObservedVm; source: string; destination: string } | undefined;
  let least = shares.reduce((sum, { mean, squares, weight }) => {
    return sum + weight * Math.sqrt(Math.max(0, squares / count - mean ** 2));
  }, -1e-9);
  for (const source of projection.endpoints) {
    for (const vm of projection.vms(source)) {
      for (const destination of projection.endpoints) {
        const roomBytes = projection.host(destination)?.memoryFreeBytes ?? 0;
        if (destination === source || vm.held !== null || roomBytes < vm.memoryBytes) continue;
        const spread = spreadAfter(vm, source, destination);
        if (spread < least) [least, best] = [spread, { vm, source, destination }];
      }
    }
  }
  return best;
}

const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `host-${index + 1}`);

export function simulate(balancer: Balancer, policy: BalancingSettings, options: SimulationOptions): SimulationResult {
  const { seed, days, hosts = 8, vms: count = 96 } = options;
  const random = seeded(seed);
  const vms = Array.from({ length: count }, (_, index) => newVm(index, random, hosts));
  const moves: (PastMove & { readonly bytes: number })[] = [];
  const passes = Math.floor((days * DAY_MS) / policy.intervalMs);
  let [spread, tooBusy, lacking, asked] = [0, 0, 0, 0];
  for (let pass = 0; pass < passes; pass++) {
    const nowMs = DAY_MS + pass * policy.intervalMs;
    for (const vm of vms) live(vm, nowMs, random);
    for (const { vm, destination, endedAtMs } of moves) {
      const moved = vms.find(({ id }) => id === vm);
      if (moved !== undefined && endedAtMs !== null && endedAtMs > nowMs - policy.intervalMs && endedAtMs <= nowMs) {
        moved.host = destination;
      }
    }
    const observation = look(vms, hosts, moves, nowMs);
    const projection = new Projection(observation.hosts);
    spread += spreadOf(projection, policy);
    for (const endpoint of projection.endpoints) {
      const use = projection.uses(endpoint).cpu ?? 0;
      if (use > policy.cpu.high) tooBusy += 1;
      lacking += Math.max(0, use - 1) * HOST.cores;
      asked += use * HOST.cores;
    }
    const past = moves.map((move) => ({ ...move, endedAtMs: (move.endedAtMs ?? 0) > nowMs ? null : move.endedAtMs }));
    for (const { vm, source, destination, estimatedMs } of balancer({ observation, past, nowMs })) {
      const bytes = vms.find(({ id }) => id === vm)?.memoryBytes ?? 0;
      moves.push({ vm, source, destination, startedAtMs: nowMs, endedAtMs: nowMs + estimatedMs, bytes });
    }
  }
  return {
    ...{ passes, moves: moves.length, movedBytes: moves.reduce((sum, { bytes }) => sum + bytes, 0) },
    worstHour: Math.max(0, ...moves.map((move) => withinAnHour(move, moves))),
    returns: moves.filter((move) => isReturn(move, moves, policy)).length,
    spreadPoints: (spread / passes) * 100,
    tooBusyPct: (tooBusy / (passes * hosts)) * 100,
    lackingPct: (lacking / asked) * 100,
  };
}

const withinAnHour = ({ startedAtMs }: PastMove, moves: readonly PastMove[]): number =>
  moves.filter((other) => other.startedAtMs <= startedAtMs && other.startedAtMs > startedAtMs - HOUR_MS).length;

const isReturn = (move: PastMove, moves: readonly PastMove[], { noReturnMs }: BalancingSettings): boolean =>
  moves.some(
    (earlier) =>
      earlier.vm === move.vm &&
      earlier.source === move.destination &&
      earlier.startedAtMs < move.startedAtMs &&
      move.startedAtMs - earlier.startedAtMs < noReturnMs,
  );

/** They begin where a person would have put them: evenly by number, with no idea of what they will use. */
function newVm(index: number, random: () => number, hosts: number): SimulatedVm {
  const vcpus = [2, 2, 4, 4, 8][Math.floor(random() * 5)] ?? 2;
  return {
    ...{ id: `vm-${index + 1}`, vcpus, memoryBytes: vcpus * 2 * GIB, base: random() * 0.35 + 0.1 },
    ...{
      swing: random() * 0.5,
      phase: random() < 0.7 ? random() * 0.15 : random(),
      drift: 0,
      burstUntilMs: 0,
      cores: 0,
    },
    dirtyRateBytesPerSec: random() * 100_000_000,
    host: `host-${(index % hosts) + 1}`,
  };
}

function live(vm: SimulatedVm, nowMs: number, random: () => number): void {
  vm.drift = Math.max(-0.2, Math.min(0.35, vm.drift * 0.995 + (random() - 0.5) * 0.06));
  if (random() < 0.002) vm.burstUntilMs = nowMs + random() * 2 * HOUR_MS;
  const day = Math.max(0, Math.sin(2 * Math.PI * (nowMs / DAY_MS - 0.3 + vm.phase)));
  const use = vm.burstUntilMs > nowMs ? 1 : vm.base + vm.swing * day + vm.drift + (random() - 0.5) * 0.1;
  vm.cores = vm.vcpus * Math.max(0.02, Math.min(1, use));
}

function look(vms: readonly SimulatedVm[], hosts: number, moves: readonly PastMove[], nowMs: number): Observation {
  const observedHosts = names(hosts).map((endpoint): ObservedHost => {
    const here = vms.filter(({ host }) => host === endpoint);
    const memory = here.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
    return {
      ...{ endpoint, plugin: 'simulated', memoryFreeBytes: HOST.memoryBytes - memory },
      capacity: { cpu: HOST.cores, memory: HOST.memoryBytes, network: null },
      used: { cpu: here.reduce((sum, { cores }) => sum + cores, 0), memory, network: 0 },
      vms: here.map(({ id, memoryBytes, cores, dirtyRateBytesPerSec }) => ({
        ...{ id, name: id, labels: [], networks: [], memoryBytes, dirtyRateBytesPerSec, held: null },
        use: { cpu: cores, memory: memoryBytes, network: 0 },
      })),
    };
  });
  const inFlight = moves.filter(({ endedAtMs }) => (endedAtMs ?? 0) > nowMs);
  return {
    beganAtMs: nowMs,
    hosts: observedHosts,
    silent: [],
    inFlight,
    moved: [],
    way: () => ({ usable: true, rateBytesPerSec: RATE_BYTES_PER_SEC }),
  };
}
