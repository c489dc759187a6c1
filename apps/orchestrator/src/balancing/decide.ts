/**
 * The decision of one pass: which VMs should move, and for everything else why not. Pure: no I/O, no clock.
 *
 *            above `high` in so many passes in a row
 *     rests ────────────────────────────────────────▶ too busy      moves start only at hosts that are too busy,
 *        ◀──────────────────────────────────────────                or where a rule is broken
 *            no more than `low`, in everything
 *
 * Bounded by construction: no host is given more than its `low`, so none becomes too busy by what it receives while its VMs
 * use what they did; a VM that was moved, and the hosts it was moved between, cool down; nobody goes back where it came from
 * for a long time; and no more than so many move in an hour and at once.
 */
import { Plan } from './plan.ts';
import { counted, Projection, spreadOf } from './projection.ts';
import { matches, namedIn } from './rules.ts';
import type {
  BalancingPass,
  BalancingSettings,
  Decision,
  Memory,
  Observation,
  PastMove,
  PlannedMove,
  SetBack,
} from './types.ts';

export interface Question {
  readonly policy: BalancingSettings;
  readonly observation: Observation;
  readonly memory: Pick<Memory, 'hosts'>;
  readonly past: readonly PastMove[];
  readonly setBacks: readonly SetBack[];
  readonly nowMs: number;
}

export interface Answer {
  readonly moves: readonly PlannedMove[];
  readonly decisions: readonly Decision[];
  readonly hosts: BalancingPass['hosts'];
  readonly spread: number;
  readonly memory: Pick<Memory, 'hosts'>;
}

export function decide(question: Question): Answer {
  const { policy, observation, past, setBacks, nowMs } = question;
  const projection = Projection.of(observation);
  const memory = remember(question, projection);
  const hot = new Set(Object.entries(memory.hosts).flatMap(([endpoint, host]) => (host.hot ? [endpoint] : [])));
  const hosts = projection.endpoints.map((endpoint) => ({
    ...{ endpoint, uses: projection.uses(endpoint), tooBusy: hot.has(endpoint) },
    vms: projection.vms(endpoint).length,
  }));
  const spread = spreadOf(projection, policy);
  const now = new Map(hosts.map(({ endpoint, uses }) => [endpoint, uses]));
  const plan = new Plan({ policy, observation, projection, past, setBacks, hot, nowMs });
  for (const { endpoint, reason } of observation.silent) plan.say('HOST_SILENT', reason, { endpoint });
  if (observation.silent.length === 0)
    for (const text of namesOfNobody(policy.rules, observation)) plan.say('RULE_NAMES_NOBODY', text, {});
  plan.repair();
  const byNeed = [...projection.endpoints].sort((a, b) => need(projection, b, policy) - need(projection, a, policy));
  for (const endpoint of byNeed) {
    if (hot.has(endpoint)) plan.relieve(endpoint);
    else plan.sayRest(endpoint, { uses: now.get(endpoint), over: memory.hosts[endpoint]?.over ?? 0 });
  }
  return { moves: plan.moves, decisions: plan.decisions, hosts, spread, memory };
}

/** A sentence for each entry of a rule that no VM answers to: it may be mistyped, and then it keeps nobody anywhere. */
function namesOfNobody(rules: BalancingSettings['rules'], { hosts }: Observation): string[] {
  const vms = hosts.flatMap((host) => host.vms);
  return namedIn(rules)
    .filter(({ pattern }) => !vms.some((vm) => matches(pattern, vm)))
    .map(
      ({ path, pattern }) =>
        `${path} names ${pattern}, and no VM that runs at these endpoints is called or labelled so.`,
    );
}

/** How far it is above `high` where it is furthest. */
function need(projection: Projection, endpoint: string, policy: BalancingSettings): number {
  const uses = projection.uses(endpoint);
  return Math.max(...counted(policy).map((resource) => (uses[resource] ?? 0) - policy[resource].high));
}

/** Hysteresis: where each host stands between its thresholds. Of a host that is silent now, what was known stays. */
function remember({ policy, memory }: Question, projection: Projection): Pick<Memory, 'hosts'> {
  const hosts = policy.endpoints.map((endpoint) => {
    const before = memory.hosts[endpoint] ?? { over: 0, hot: false };
    const uses = projection.uses(endpoint);
    const known = counted(policy).flatMap((resource) => {
      const share = uses[resource];
      return share === null ? [] : [{ share, ...policy[resource] }];
    });
    if (known.length === 0) return [endpoint, before] as const;
    const over = known.some(({ share, high }) => share > high) ? before.over + 1 : 0;
    const isCalm = known.every(({ share, low }) => share <= low);
    return [endpoint, { over, hot: before.hot ? !isCalm : over >= policy.confirmPasses }] as const;
  });
  return { hosts: Object.fromEntries(hosts) };
}
