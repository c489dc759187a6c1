/**
 * Whether one move is right: every condition in its order, each with the sentence that says why not. The same judgement is
 * passed when a move is decided, right before it is submitted, and when somebody approves it. Pure.
 */
import { costOf } from './cost.ts';
import { counted, gainOf, levelOf, type Projection } from './projection.ts';
import { isIgnored, matchesAny, unitOf, violations } from './rules.ts';
import type { BalancingSettings, Observation, ObservedVm, PastMove, PlannedMove, SetBack } from './types.ts';
import { nameOf, percent, points, theyOrIt, time, unitInWords, usesInWords } from './words.ts';

export interface Circumstances {
  readonly policy: BalancingSettings;
  readonly observation: Pick<Observation, 'way' | 'moved'>;
  /** As things are, with what is decided already. */
  readonly projection: Projection;
  /** Moves of the policy itself: its limits, and the rests of hosts, count no others. */
  readonly past: readonly PastMove[];
  readonly setBacks: readonly SetBack[];
  /** Hosts that count as too busy. */
  readonly hot: ReadonlySet<string>;
  readonly nowMs: number;
}

export interface Refusal {
  readonly code: string;
  readonly text: string;
}

export type Judgement =
  | {
      readonly ok: true;
      readonly unit: readonly ObservedVm[];
      readonly moves: readonly PlannedMove[];
      readonly net: number;
      /** What the destination uses after it, weighted. */
      readonly level: number;
    }
  | ({ readonly ok: false } & Refusal);

const no = (code: string, text: string) => ({ ok: false, code, text }) as const;

const HOUR_MS = 3_600_000;

/** Why no more moves may be begun now; `undefined`: they may. */
export function limitOf(
  { policy, past, nowMs }: Pick<Circumstances, 'policy' | 'past' | 'nowMs'>,
  { planned, more }: { planned: number; more: number },
): Refusal | undefined {
  const { maxConcurrent, maxMovesPerHour } = policy;
  const atOnce = past.filter(({ endedAtMs }) => endedAtMs === null).length + planned;
  if (atOnce + more > maxConcurrent) {
    return { code: 'LIMIT_AT_ONCE', text: `the policy allows ${maxConcurrent} at once and ${atOnce} are taken.` };
  }
  const lately = past.filter(({ startedAtMs }) => nowMs - startedAtMs < HOUR_MS).length + planned;
  if (lately + more <= maxMovesPerHour) return undefined;
  return { code: 'LIMIT_PER_HOUR', text: `the policy allows ${maxMovesPerHour} in an hour and ${lately} are taken.` };
}

/** Why so many that belong together can never go, whatever else moves; `undefined`: they can. */
function tooMany(unit: readonly ObservedVm[], { maxConcurrent, maxMovesPerHour }: BalancingSettings) {
  if (unit.length <= Math.min(maxConcurrent, maxMovesPerHour)) return undefined;
  const limit = unit.length > maxConcurrent ? `${maxConcurrent} at once` : `${maxMovesPerHour} in an hour`;
  return no('GROUP_TOO_LARGE', `${unitInWords(unit)} stay: they go together, and the policy allows ${limit}.`);
}

/** Why a host takes part in nothing now; `undefined`: it does. */
export function restOf(endpoint: string, { policy, past, nowMs }: Circumstances): Refusal | undefined {
  const its = past.filter(({ source, destination }) => source === endpoint || destination === endpoint);
  if (its.some(({ endedAtMs }) => endedAtMs === null)) {
    return no('HOST_IN_MOVE', `${endpoint} waits for the move that is under way.`);
  }
  const last = Math.max(...its.map(({ endedAtMs }) => endedAtMs ?? 0), 0);
  const leftMs = last + policy.hostCoolDownMs - nowMs;
  if (last === 0 || leftMs <= 0) return undefined;
  return no('HOST_COOLS_DOWN', `${endpoint} cools down for another ${time(leftMs)} after its last move.`);
}

/** Why a VM stays wherever it is; `undefined`: it could go. */
export function holdOf(
  vm: ObservedVm,
  { policy, past, observation, setBacks, nowMs }: Circumstances,
): Refusal | undefined {
  if (isIgnored(policy.rules, vm)) return no('VM_IGNORED', `${vm.name} is ignored by the policy.`);
  if (matchesAny(policy.rules.pinned, vm)) return no('VM_PINNED', `${vm.name} is pinned where it is.`);
  if (vm.held !== null) return no('VM_HELD', `${vm.name} ${vm.held}.`);
  const unknown = counted(policy).find((resource) => vm.use[resource] === null);
  if (unknown !== undefined) {
    return no('VM_USE_UNKNOWN', `${vm.name} stays, because how much ${nameOf(unknown)} it uses is not known.`);
  }
  const setBack = setBacks.find((each) => each.vm === vm.id && nowMs - each.atMs < policy.vmCoolDownMs);
  if (setBack !== undefined) {
    const leftMs = setBack.atMs + policy.vmCoolDownMs - nowMs;
    return no('VM_SET_BACK', `${vm.name} is not tried again for ${time(leftMs)}: ${setBack.why}`);
  }
  const its = [...past, ...observation.moved].filter((move) => move.vm === vm.id);
  const last = Math.max(...its.map((move) => move.endedAtMs ?? nowMs), 0);
  const leftMs = last + policy.vmCoolDownMs - nowMs;
  if (last === 0 || leftMs <= 0) return undefined;
  return no('VM_COOLS_DOWN', `${vm.name} stays for another ${time(leftMs)}, because it was moved lately.`);
}

/** @param isRepair it keeps a rule: it need not gain anything */
export function judge(
  vm: ObservedVm,
  [source, destination]: readonly [string, string],
  circumstances: Circumstances,
  { isRepair }: { isRepair: boolean },
): Judgement {
  const { policy, projection, observation } = circumstances;
  const unit = unitOf(vm, projection.vms(source), policy.rules);
  const who = unitInWords(unit);
  const doNotGo = theyOrIt(unit, 'do not go', 'does not go');
  for (const member of unit) {
    const hold = holdOf(member, circumstances);
    if (hold === undefined) continue;
    return member.id === vm.id
      ? { ok: false, ...hold }
      : no('COMPANION_HELD', `${vm.name} stays with ${member.name}: ${hold.text}`);
  }
  const crowd = tooMany(unit, policy);
  if (crowd !== undefined) return crowd;
  const way = observation.way(source, destination);
  if (!way.usable) return no('NO_WAY', `${who} cannot go to ${destination}: ${way.reason}`);
  const rest = restOf(destination, circumstances);
  if (rest !== undefined) return no(rest.code, `${who} ${doNotGo} to ${destination}: ${rest.text}`);
  if (circumstances.hot.has(destination)) {
    return no('DESTINATION_TOO_BUSY', `${who} ${doNotGo} to ${destination}, which is too busy itself.`);
  }
  const back = returning(unit, destination, circumstances);
  if (back !== undefined) return back;
  const after = projection.copy();
  after.move(unit, source, destination);
  const full = overfull(unit, destination, after, policy);
  if (full !== undefined) return full;
  const broken = violations(after, policy.rules) - violations(projection, policy.rules);
  if (broken > 0) return no('RULE_BROKEN', `${who} ${doNotGo} to ${destination}, where it would break a rule.`);
  if (isRepair && broken === 0) return no('RULE_NOT_KEPT', `${who} would break the rule at ${destination} as well.`);
  return weigh(unit, [source, destination], { ...circumstances, after, way, isRepair });
}

function returning(
  unit: readonly ObservedVm[],
  destination: string,
  { past, observation, policy, nowMs }: Circumstances,
) {
  const all = [...past, ...observation.moved];
  for (const { id, name } of unit) {
    const left = Math.max(...all.filter((m) => m.vm === id && m.source === destination).map((m) => m.startedAtMs), 0);
    if (left === 0 || nowMs - left >= policy.noReturnMs) continue;
    return no(
      'NO_RETURN',
      `${name} does not go back to ${destination}, which it left ${time(nowMs - left)} ago, within ${time(policy.noReturnMs)}.`,
    );
  }
  return undefined;
}

/** No host is given more than the lower threshold, so that whoever receives does not have to send it on. */
function overfull(
  unit: readonly ObservedVm[],
  destination: string,
  after: Projection,
  policy: BalancingSettings,
): Judgement | undefined {
  const who = unitInWords(unit);
  const uses = after.uses(destination);
  for (const resource of counted(policy)) {
    const share = uses[resource];
    if (share === null) {
      return no('DESTINATION_UNKNOWN', `How much ${nameOf(resource)} ${destination} uses is not known.`);
    }
    const { low } = policy[resource];
    if (share <= low) continue;
    return no(
      'DESTINATION_OVERFULL',
      `${who} ${theyOrIt(unit, 'do not go', 'does not go')} to ${destination}, whose ${nameOf(resource)} would rise to ${percent(share)} (at most ${percent(low)}).`,
    );
  }
  if ((after.host(destination)?.memoryFreeBytes ?? 0) >= 0) return undefined;
  return no('NO_MEMORY', `${who} ${theyOrIt(unit, 'do', 'does')} not fit into the memory of ${destination}.`);
}

interface Weighing extends Circumstances {
  readonly after: Projection;
  readonly way: Extract<ReturnType<Observation['way']>, { usable: true }>;
  readonly isRepair: boolean;
}

function weigh(
  unit: readonly ObservedVm[],
  [source, destination]: readonly [string, string],
  { policy, projection, after, way, isRepair }: Weighing,
): Judgement {
  const who = unitInWords(unit);
  const costs = unit.map((vm) => ({ vm, ...costOf(vm, way, policy) }));
  const stuck = costs.find(({ estimatedMs }) => estimatedMs === null);
  if (stuck !== undefined) {
    return no('NEVER_ACROSS', `the dirty rate of ${stuck.vm.name} exceeds what the way to ${destination} carries.`);
  }
  const gain = gainOf(projection, after, [source, destination], policy);
  const cost = costs.reduce((sum, each) => sum + each.cost, 0);
  const estimatedMs = costs.reduce((sum, each) => sum + (each.estimatedMs ?? 0), 0);
  const net = gain - cost;
  if (!isRepair && net < policy.minGain) {
    return no(
      'GAIN_TOO_SMALL',
      `${who} ${theyOrIt(unit, 'stay', 'stays')}: going to ${destination} would gain ${points(gain)} and cost ${points(cost)}, and ${points(policy.minGain)} are asked for.`,
    );
  }
  const resources = counted(policy);
  const change = (endpoint: string) =>
    `${endpoint} from ${usesInWords(projection.uses(endpoint), resources)} to ${usesInWords(after.uses(endpoint), resources)}`;
  const why = isRepair ? 'keeps a rule' : `gains ${points(gain)} and costs ${points(cost)}`;
  const assumed = costs[0]?.isRateAssumed ? ' over a link whose rate is assumed' : '';
  const text = `${who} ${theyOrIt(unit, 'go', 'goes')} from ${source} to ${destination}, which ${why} (some ${time(estimatedMs)}${assumed}) and brings ${change(source)} and ${change(destination)}.`;
  const expected = { source: after.uses(source), destination: after.uses(destination) };
  const moves = costs.map(({ vm: { id, name }, ...each }) => ({
    ...{ vm: { id, name }, source, destination, text, gain, isRepair, expected },
    ...{ cost: each.cost, estimatedMs: each.estimatedMs ?? 0 },
  }));
  return { ok: true, unit, moves, net, level: levelOf(after, destination, policy) };
}
