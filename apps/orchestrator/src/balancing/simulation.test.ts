/**
 * The engine over days, on random hosts and with random rules: what must hold whatever the load does. `npm run bench --
 * balancing` is the same over a week of a larger hall, with numbers.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decide, type Question } from './decide.ts';
import { Projection } from './projection.ts';
import { violations } from './rules.ts';
import { host, observed, settings } from './testing/fixtures.ts';
import { seeded } from './testing/random.ts';
import { engine, greedy, nobody, simulate, simulatedPolicy } from './testing/simulation.ts';

const HALL = { hosts: 4, vms: 48, days: 3 };

describe('three days of synthetic load', () => {
  for (const seed of [1, 2, 3]) {
    test(`seed ${seed}: few moves and a better balance; the greedy balancer never rests`, (context) => {
      const policy = simulatedPolicy({ endpoints: ['host-1', 'host-2', 'host-3', 'host-4'] });
      const [without, ours, theirs] = [nobody, engine(policy), greedy(policy)].map((balancer) =>
        simulate(balancer, policy, { seed, ...HALL }),
      );
      assert.ok(without && ours && theirs);
      context.diagnostic(JSON.stringify({ without, ours, theirs }));
      assert.ok(without.tooBusyPct > 3, 'there is something to balance');
      assert.ok(ours.tooBusyPct < without.tooBusyPct / 1.5, 'hosts are too busy far less often');
      assert.ok(ours.spreadPoints < without.spreadPoints, 'they are closer together');
      assert.ok(ours.moves > 0 && ours.moves <= 15 * HALL.days, `${ours.moves} moves`);
      assert.ok(ours.worstHour <= policy.maxMovesPerHour, 'never more in an hour than the policy says');
      assert.equal(ours.returns, 0, 'nobody goes back and forth');
      assert.ok(theirs.moves > 10 * ours.moves && theirs.returns > 0, 'without hysteresis nothing rests');
    });
  }
});

test('a load that stays as it is comes to rest within as many moves as there are VMs, and stays there', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seeded(seed);
    const names = ['a', 'b', 'c', 'd'];
    const policy = settings({
      endpoints: names,
      hostCoolDownMs: 0,
      vmCoolDownMs: 0,
      noReturnMs: 0,
      maxMovesPerHour: 99,
    });
    let hosts = names.map((name, at) => host(name, vmsOf(name, random, at === 0 ? 12 : 4)));
    let memory: Question['memory'] = { hosts: {} };
    let moves = 0;
    for (let pass = 0; pass < 60; pass++) {
      const observation = observed(hosts, { way: () => ({ usable: true, rateBytesPerSec: 1e9 }) });
      const answer = decide({ policy, observation, memory, past: [], setBacks: [], nowMs: pass });
      memory = answer.memory;
      const projection = new Projection(hosts);
      for (const { vm, source, destination } of answer.moves) {
        projection.move(
          projection.vms(source).filter(({ id }) => id === vm.id),
          source,
          destination,
        );
      }
      moves += answer.moves.length;
      hosts = names.flatMap((name) => projection.host(name) ?? []);
      if (pass > 30) assert.equal(answer.moves.length, 0, `seed ${seed} still moves in pass ${pass}`);
    }
    assert.ok(moves <= 24, `seed ${seed}: ${moves} moves`);
  }
});

test('on random hosts with random rules: limits, rules and thresholds hold, everything is told, and the answer is the same twice', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed);
    const names = ['a', 'b', 'c', 'd'].slice(0, 2 + Math.floor(random() * 3));
    const policy = settings({
      endpoints: names,
      maxConcurrent: 1 + Math.floor(random() * 5),
      rules: {
        ...{ pinned: random() < 0.3 ? ['a-1'] : [], ignored: random() < 0.3 ? ['b-0'] : [] },
        affinity: random() < 0.5 ? [{ vms: ['a-0', 'a-2', 'b-1'] }] : [],
        antiAffinity: random() < 0.5 ? [{ vms: ['*-3', 'a-4'] }] : [],
      },
    });
    const hosts = names.map((name) => host(name, vmsOf(name, random, Math.floor(random() * 10))));
    const question: Question = {
      ...{ policy, memory: { hosts: {} }, past: [], setBacks: [], nowMs: 0 },
      observation: observed(hosts, { way: () => ({ usable: true, rateBytesPerSec: 1e9 }) }),
    };
    const answer = decide(question);
    assert.deepEqual(decide(question), answer);
    assert.ok(answer.moves.length <= policy.maxConcurrent);
    assert.equal(new Set(answer.moves.map(({ vm }) => vm.id)).size, answer.moves.length, 'nobody twice');
    const [before, after] = [new Projection(hosts), new Projection(hosts)];
    for (const { vm, source, destination } of answer.moves) {
      assert.ok(vm.name !== 'a-1' || policy.rules.pinned.length === 0);
      assert.ok(vm.name !== 'b-0' || policy.rules.ignored.length === 0);
      after.move(
        after.vms(source).filter(({ id }) => id === vm.id),
        source,
        destination,
      );
    }
    for (const { destination } of answer.moves) {
      assert.ok((after.uses(destination).cpu ?? 9) <= policy.cpu.low + 1e-9);
      assert.ok((after.uses(destination).memory ?? 9) <= policy.memory.low + 1e-9);
    }
    assert.ok(violations(after, policy.rules) <= violations(before, policy.rules), `seed ${seed}: a rule was broken`);
    for (const name of names) {
      const said = answer.decisions.filter(({ endpoint }) => endpoint === name);
      assert.ok(said.length > 0, `seed ${seed}: nothing was said of ${name}`);
    }
    for (const { text } of answer.decisions) assert.match(text, /^\S.*\.$/);
  }
});

function vmsOf(name: string, random: () => number, count: number) {
  return Array.from({ length: count }, (_, index) => ({
    ...{ name: `${name}-${index}`, cores: random() * 3, gib: 1 + Math.floor(random() * 16) },
  }));
}
