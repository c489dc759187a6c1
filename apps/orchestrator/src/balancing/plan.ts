/**
 * What one pass decides, in the making: moves that keep rules first, then those that relieve hosts that are too busy, and a
 * sentence for everything. Each move changes the projection that the next one is judged by. Pure.
 */
import { type Circumstances, holdOf, type Judgement, judge, limitOf, restOf } from './judge.ts';
import { counted } from './projection.ts';
import { offenders } from './rules.ts';
import type { Amounts, Decision, PlannedMove } from './types.ts';
import { nameOf, unitInWords, usesInWords } from './words.ts';

/** Of one pass; more would be read by nobody. */
const MAX_DECISIONS = 500;

type Approval = Extract<Judgement, { ok: true }>;

export class Plan {
  readonly moves: PlannedMove[] = [];
  readonly decisions: Decision[] = [];
  readonly #circumstances: Circumstances;
  /** VMs that somebody has spoken of. */
  readonly #settled = new Set<string>();

  constructor(circumstances: Circumstances) {
    this.#circumstances = circumstances;
  }

  say(
    code: string,
    text: string,
    about: { endpoint?: string; vm?: { id: string; name: string }; destination?: string },
  ): void {
    if (this.decisions.length >= MAX_DECISIONS) return;
    const { endpoint = null, vm, destination = null } = about;
    this.decisions.push({ code, endpoint, vm: vm ? { id: vm.id, name: vm.name } : null, destination, text });
  }

  /** Moves VMs that break a rule, if that helps. */
  repair(): void {
    const { policy, projection } = this.#circumstances;
    for (;;) {
      const wrong = offenders(projection, policy.rules);
      const options = wrong.flatMap(({ vm, endpoint }) => this.#options(vm.id, endpoint, { isRepair: true }));
      const best = bestOf(options);
      if (best !== undefined) {
        if (this.#take(best)) continue;
        return;
      }
      for (const { vm, endpoint } of wrong) {
        this.#settled.add(vm.id);
        const rest = restOf(endpoint, this.#circumstances);
        const reason = rest ?? this.#options(vm.id, endpoint, { isRepair: true }).find(({ ok }) => !ok);
        const text = reason !== undefined && 'text' in reason ? reason.text : 'there is no other host.';
        this.say('RULE_STAYS_BROKEN', `${vm.name} breaks a rule at ${endpoint} and stays: ${text}`, { endpoint, vm });
      }
      return;
    }
  }

  /** Moves VMs away from a host that is too busy until it is not, or nothing more can be done. */
  relieve(endpoint: string): void {
    const { policy, projection } = this.#circumstances;
    const rest = restOf(endpoint, this.#circumstances);
    if (rest !== undefined) {
      this.say(rest.code, `${endpoint} is too busy, but moves nothing: ${rest.text}`, { endpoint });
      return;
    }
    const isCalm = () => counted(policy).every((each) => (projection.uses(endpoint)[each] ?? 0) <= policy[each].low);
    while (!isCalm()) {
      const vms = projection.vms(endpoint).filter(({ id }) => !this.#settled.has(id));
      const best = bestOf(vms.flatMap(({ id }) => this.#options(id, endpoint, { isRepair: false })));
      if (best === undefined) {
        this.#sayWhyNot(endpoint);
        return;
      }
      if (!this.#take(best)) return;
    }
    const words = usesInWords(projection.uses(endpoint), counted(policy));
    this.say('HOST_RELIEVED', `${endpoint} needs no further move: it is taken to come down to ${words}.`, { endpoint });
  }

  /** @param uses as things are, before anything that is planned here */
  sayRest(endpoint: string, { uses, over }: { uses: Amounts | undefined; over: number }): void {
    const { policy } = this.#circumstances;
    if (uses === undefined) return;
    const words = usesInWords(uses, counted(policy));
    const unknown = counted(policy).find((resource) => uses[resource] === null);
    if (unknown !== undefined) {
      const text = `${endpoint} is left alone, because its use of ${nameOf(unknown)} is not known.`;
      this.say('HOST_UNKNOWN', text, { endpoint });
    } else if (over > 0) {
      const text = `${endpoint} (${words}) is above its threshold in ${over} of ${policy.confirmPasses} passes; nothing is moved yet.`;
      this.say('HOST_NOT_CONFIRMED', text, { endpoint });
    } else {
      this.say('HOST_RESTS', `${endpoint} (${words}) is not too busy.`, { endpoint });
    }
  }

  /** What comes of moving one VM (and who belongs to it) to each other host. */
  #options(vmId: string, source: string, { isRepair }: { isRepair: boolean }): Judgement[] {
    const { projection } = this.#circumstances;
    const vm = projection.vms(source).find(({ id }) => id === vmId);
    if (vm === undefined || (isRepair && restOf(source, this.#circumstances) !== undefined)) return [];
    const destinations = projection.endpoints.filter((endpoint) => endpoint !== source);
    return destinations.map((destination) => judge(vm, [source, destination], this.#circumstances, { isRepair }));
  }

  /** False when a limit does not allow it, which is said. */
  #take({ unit, moves }: Approval): boolean {
    const [first] = moves;
    if (first === undefined) return false;
    const limit = this.#limit(moves.length);
    const about = { endpoint: first.source, vm: first.vm, destination: first.destination };
    if (limit !== undefined) {
      const text = `${unitInWords(unit)} would go from ${first.source} to ${first.destination}, but ${limit.text}`;
      this.say(limit.code, text, about);
      return false;
    }
    this.#circumstances.projection.move(
      unit.map((vm) => ({ ...vm, held: 'is moved already in this pass' })),
      first.source,
      first.destination,
    );
    this.moves.push(...moves);
    for (const { id } of unit) this.#settled.add(id);
    this.say('MOVE', first.text, about);
    return true;
  }

  #limit(more: number): { code: string; text: string } | undefined {
    return limitOf(this.#circumstances, { planned: this.moves.length, more });
  }

  /** Each VM of the host with what stood against its best way out. */
  #sayWhyNot(endpoint: string): void {
    const { projection, policy } = this.#circumstances;
    const words = usesInWords(projection.uses(endpoint), counted(policy));
    const left = this.moves.some(({ source }) => source === endpoint) ? 'none of the others' : 'none of its VMs';
    this.say('HOST_STAYS_TOO_BUSY', `${endpoint} (${words}) is too busy, and ${left} can be moved.`, {
      endpoint,
    });
    for (const vm of projection.vms(endpoint)) {
      if (this.#settled.has(vm.id)) continue;
      const hold = holdOf(vm, this.#circumstances);
      const reasons = hold !== undefined ? [hold] : this.#options(vm.id, endpoint, { isRepair: false });
      const [reason] = reasons.flatMap((each) => ('text' in each ? [each] : [])).sort((a, b) => rank(a) - rank(b));
      if (reason !== undefined) this.say(reason.code, reason.text, { endpoint, vm });
    }
  }
}

/** Of several reasons, the one that came last in the judgement: that host came nearest. */
const ORDER = ['GAIN_TOO_SMALL', 'NEVER_ACROSS', 'RULE_BROKEN', 'NO_MEMORY', 'DESTINATION_OVERFULL', 'NO_RETURN'];
const rank = ({ code }: { code: string }): number => (ORDER.includes(code) ? ORDER.indexOf(code) : ORDER.length);

/** A millionth of a point more or less is no difference. */
const inMillionths = (share: number): number => Math.round(share * 1e6);

/** The one that gains most beyond its cost; among equals, the one to the idlest host. */
function bestOf(options: readonly Judgement[]): Approval | undefined {
  const [best] = options
    .filter((option) => option.ok)
    .sort((a, b) => inMillionths(b.net) - inMillionths(a.net) || a.level - b.level);
  return best;
}
