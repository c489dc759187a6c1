/** The engine: who is moved, who is not, and that each is told in one sentence. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { decide, Question } from './decide.ts';
import { judgeAgain } from './judge-again.ts';
import { host, MINUTE_MS, observed, passOver, settings, type VmSpec } from './testing/fixtures.ts';
import type { BalancingMove, PastMove } from './types.ts';

const NOW_MS = 1_000_000_000;
const busy: VmSpec[] = [
  { name: 'large', cores: 4 },
  { name: 'middle', cores: 3 },
  { name: 'small', cores: 2 },
];
const busyHosts = () => [host('a', busy), host('b', [{ name: 'other', cores: 1 }]), host('c', [])];
const movesOf = ({ moves }: ReturnType<typeof decide>) =>
  moves.map((move) => `${move.vm.name}: ${move.source}→${move.destination}`);
const codesOf = ({ decisions }: ReturnType<typeof decide>) => decisions.map(({ code }) => code);
const textOf = ({ decisions }: ReturnType<typeof decide>, code: string) =>
  decisions.find((decision) => decision.code === code)?.text ?? `none of ${JSON.stringify(decisions)}`;
const moved = (changes: Partial<PastMove>): PastMove => ({
  ...{ vm: 'id-large', source: 'a', destination: 'c' },
  ...{ startedAtMs: NOW_MS - 20 * MINUTE_MS, endedAtMs: NOW_MS - 19 * MINUTE_MS },
  ...changes,
});

describe('what is moved', () => {
  test('the VM whose move helps most leaves the host that is too busy, for the idlest one', () => {
    const answer = passOver(busyHosts());
    assert.deepEqual(movesOf(answer), ['large: a→c']);
    assert.match(
      textOf(answer, 'MOVE'),
      /^large goes from a to c, which gains .* points and costs .* points \(some \d+ s\) and brings a from processor 90 %.* to processor 50 %.* and c from processor 0 %.* to processor 40 %.*\.$/,
    );
    assert.equal(answer.moves[0]?.expected.source.cpu, 0.5);
    assert.match(textOf(answer, 'HOST_RELIEVED'), /^a needs no further move/);
  });

  test('nothing, when nobody is too busy; and every host has its sentence', () => {
    const answer = passOver([host('a', busy.slice(0, 2)), host('b', []), host('c', [])]);
    assert.deepEqual([movesOf(answer), codesOf(answer)], [[], ['HOST_RESTS', 'HOST_RESTS', 'HOST_RESTS']]);
    assert.match(textOf(answer, 'HOST_RESTS'), /^a \(processor 70 %, memory \d+ %\) is not too busy\.$/);
  });

  test('several at once where the policy allows it, and no more than it needs', () => {
    const vms = Array.from({ length: 9 }, (_, index) => ({ name: `vm-${index}`, cores: 1 }));
    const policy = settings({ maxConcurrent: 9, maxMovesPerHour: 9 });
    const answer = passOver([host('a', vms), host('b', []), host('c', [])], { policy });
    assert.equal(answer.moves.length, 3, 'from 90 % to no more than 65 %');
    const one = passOver([host('a', vms), host('b', []), host('c', [])]);
    assert.equal(one.moves.length, 1);
    assert.match(
      textOf(one, 'LIMIT_AT_ONCE'),
      /would go from a to [bc], but the policy allows 1 at once and 1 are taken/,
    );
  });

  test('network and memory count as they are weighed', () => {
    const policy = settings({
      ...{ cpu: { weight: 0 }, memory: { weight: 0 }, network: { weight: 1 } },
      networkCapacityBytesPerSec: { a: 1e8, b: 1e8, c: 1e8 },
    });
    const chatty = { name: 'chatty', cores: 0, netBytesPerSec: 60_000_000 };
    const others = { name: 'others', cores: 9, netBytesPerSec: 45_000_000 };
    assert.deepEqual(movesOf(passOver([host('a', [chatty, others]), host('b', []), host('c', [])], { policy })), [
      'others: a→b',
    ]);
    const memory = settings({ cpu: { weight: 0 }, memory: { weight: 1 } });
    const full = [
      { name: 'fat', cores: 1, gib: 40 },
      { name: 'thin', cores: 8, gib: 20 },
    ];
    assert.deepEqual(movesOf(passOver([host('a', full), host('b', []), host('c', [])], { policy: memory })), [
      'thin: a→b',
    ]);
  });
});

describe('hysteresis', () => {
  test('a host counts as too busy after so many passes in a row, and until it is below the lower threshold', () => {
    const policy = settings({ confirmPasses: 3, rules: { pinned: ['*'] } });
    let memory: Question['memory'] = { hosts: {} };
    const seen = [9, 9, 7, 9, 9, 9, 7, 8, 6.6, 6.5, 8].map((cores) => {
      const hosts = [host('a', [{ name: 'vm', cores }]), host('b', []), host('c', [])];
      const answer = passOver(hosts, { policy, memory });
      memory = answer.memory;
      return answer.hosts[0]?.tooBusy;
    });
    assert.deepEqual(seen, [false, false, false, false, false, true, true, true, true, false, false]);
  });

  test('no host is given more than its lower threshold, though it would gain', () => {
    const hosts = [host('a', busy), host('b', [{ name: 'b', cores: 4.6 }]), host('c', [{ name: 'c', cores: 4.9 }])];
    const answer = passOver(hosts);
    assert.deepEqual(movesOf(answer), []);
    assert.equal(answer.decisions.filter(({ code }) => code === 'DESTINATION_OVERFULL').length, 3);
    assert.match(
      textOf(answer, 'DESTINATION_OVERFULL'),
      /^large does not go to b, whose processor would rise to 86 % \(at most 65 %\)\.$/,
    );
  });

  test('VMs and hosts cool down, and nobody goes back', () => {
    const lately = passOver(busyHosts(), { past: [moved({ endedAtMs: NOW_MS - 5 * MINUTE_MS })] });
    assert.deepEqual(movesOf(lately), []);
    assert.match(
      textOf(lately, 'HOST_COOLS_DOWN'),
      /^a is too busy, but moves nothing: a cools down for another 5 min/,
    );
    assert.deepEqual(movesOf(passOver(busyHosts(), { past: [moved({})] })), ['middle: a→c'], 'another VM may');
    const under = passOver(busyHosts(), { past: [moved({ endedAtMs: null })] });
    assert.match(textOf(under, 'HOST_IN_MOVE'), /waits for the move that is under way/);
    const hours = 3 * 3_600_000;
    const back = moved({ source: 'c', destination: 'a', startedAtMs: NOW_MS - hours, endedAtMs: NOW_MS - hours });
    assert.deepEqual(movesOf(passOver(busyHosts(), { past: [back] })), ['large: a→b'], 'not to c, where it came from');
  });

  test('a VM that could not be moved is left alone for a while', () => {
    const setBacks = [{ vm: 'id-large', atMs: NOW_MS - 60_000, why: 'its disk is not there.' }];
    assert.deepEqual(movesOf(passOver(busyHosts(), { setBacks })), ['middle: a→c']);
    const later = { setBacks, nowMs: NOW_MS + 3_600_000 };
    assert.deepEqual(movesOf(passOver(busyHosts(), later)), ['large: a→c']);
  });

  test('what moves in an hour is counted', () => {
    const policy = settings({ maxMovesPerHour: 2, hostCoolDownMs: 0 });
    const past = [30, 40].map((minutes) =>
      moved({ vm: 'x', endedAtMs: NOW_MS, startedAtMs: NOW_MS - minutes * MINUTE_MS }),
    );
    assert.match(
      textOf(passOver(busyHosts(), { policy, past }), 'LIMIT_PER_HOUR'),
      /allows 2 in an hour and 2 are taken/,
    );
    assert.deepEqual(movesOf(passOver(busyHosts(), { policy, past: past.slice(1) })), ['large: a→c']);
  });
});

describe('rules', () => {
  const withRules = (rules: object, hosts = busyHosts()) =>
    passOver(hosts, { policy: settings({ rules, maxConcurrent: 4 }) });

  test('pinned and ignored VMs stay, by name, id or pattern', () => {
    const answer = withRules({ pinned: ['large', 'id-middle'], ignored: ['sm*'] });
    assert.deepEqual(movesOf(answer), []);
    assert.match(textOf(answer, 'VM_PINNED'), /^large is pinned/);
    assert.match(textOf(answer, 'VM_IGNORED'), /^small is ignored/);
  });

  test('by what their hypervisor labels them with', () => {
    const labelled = [
      { name: 'large', cores: 4, labels: ['database', 'tier-1'] },
      { name: 'middle', cores: 3, labels: ['web'] },
      { name: 'small', cores: 2, labels: ['web'] },
    ];
    const hosts = () => [host('a', labelled), host('b', [{ name: 'other', cores: 1, labels: ['web'] }]), host('c', [])];
    const answer = withRules({ pinned: ['label:database'], antiAffinity: [{ vms: ['label:web'] }] }, hosts());
    assert.deepEqual(movesOf(answer), ['middle: a→c'], 'not to b, where one of its label is');
    assert.match(textOf(withRules({ pinned: ['label:*'] }, hosts()), 'VM_PINNED'), /^large is pinned/);
    assert.deepEqual(movesOf(withRules({ ignored: ['label:tier-*'] }, hosts())), ['middle: a→c']);
    assert.deepEqual(movesOf(withRules({ pinned: ['database', 'label:data'] }, hosts())), ['large: a→c'], 'no name');
  });

  test('who belongs together moves together, or not at all', () => {
    const answer = withRules({ affinity: [{ vms: ['middle', 'small'] }], pinned: ['large'] });
    assert.deepEqual(movesOf(answer), ['middle: a→c', 'small: a→c']);
    assert.match(textOf(answer, 'MOVE'), /^middle and small go from a to c/);
    const held = withRules({ affinity: [{ vms: ['middle', 'small', 'large'] }], pinned: ['small'] });
    assert.deepEqual(movesOf(held), []);
    assert.match(textOf(held, 'COMPANION_HELD'), /^(middle|large) stays with small: small /);
  });

  test('a group that no limit lets go keeps nobody else from going', () => {
    const rules = { affinity: [{ vms: ['middle', 'small'] }], pinned: ['rest'] };
    const group = [
      { name: 'middle', cores: 2.5 },
      { name: 'small', cores: 2 },
      { name: 'alone', cores: 2 },
      { name: 'rest', cores: 2.5 },
    ];
    const hosts = () => [host('a', group), host('b', []), host('c', [])];
    assert.deepEqual(movesOf(withRules(rules, hosts())), ['middle: a→b', 'small: a→b'], 'it would be the best');
    for (const limits of [{ maxConcurrent: 1 }, { maxConcurrent: 2, maxMovesPerHour: 1 }]) {
      assert.deepEqual(movesOf(passOver(hosts(), { policy: settings({ rules, ...limits }) })), ['alone: a→b']);
    }
    const pinned = { ...rules, pinned: ['alone', 'rest'] };
    const why = (limits: object) =>
      textOf(passOver(hosts(), { policy: settings({ rules: pinned, ...limits }) }), 'GROUP_TOO_LARGE');
    assert.equal(why({}), 'middle and small stay: they go together, and the policy allows 1 at once.');
    assert.match(why({ maxConcurrent: 2, maxMovesPerHour: 1 }), /allows 1 in an hour\.$/);
  });

  test('who belongs apart is not brought together, and is taken apart', () => {
    const hosts = [
      host('a', busy),
      host('b', [{ name: 'other', cores: 3 }]),
      host('c', [{ name: 'large-2', cores: 0 }]),
    ];
    assert.deepEqual(movesOf(withRules({ antiAffinity: [{ vms: ['large*'] }] }, hosts)), ['middle: a→c']);
    const calm = [
      host('a', [
        { name: 'x-1', cores: 1 },
        { name: 'x-2', cores: 1 },
      ]),
      host('b', []),
      host('c', []),
    ];
    const apart = withRules({ antiAffinity: [{ vms: ['x-*'] }] }, calm);
    assert.equal(apart.moves.length, 1);
    assert.equal(apart.moves[0]?.isRepair, true);
    assert.match(textOf(apart, 'MOVE'), /which keeps a rule/);
  });

  test('a rule that cannot be kept is told', () => {
    const three = ['x-1', 'x-2', 'x-3', 'x-4'].map((name) => ({ name, cores: 1 }));
    const answer = withRules({ antiAffinity: [{ vms: ['x-*'] }] }, [host('a', three), host('b', []), host('c', [])]);
    assert.equal(answer.moves.length, 2);
    assert.match(textOf(answer, 'RULE_STAYS_BROKEN'), /^x-\d breaks a rule at a and stays: x-\d would break the rule/);
  });
});

describe('what others have moved', () => {
  const byOthers = (changes: Partial<PastMove>, policy = settings()) =>
    passOver([], { policy, observation: observed(busyHosts(), { moved: [moved(changes)] }), nowMs: NOW_MS });

  test('a VM that a plan, a person or another policy moved lately stays, and does not go back', () => {
    const answer = byOthers(
      { source: 'outside', destination: 'a' },
      settings({ rules: { pinned: ['middle', 'small'] } }),
    );
    assert.match(textOf(answer, 'VM_COOLS_DOWN'), /^large stays for another 41 min.*moved lately/);
    const long = settings({ vmCoolDownMs: 0, rules: { pinned: ['middle', 'small'] } });
    const back = byOthers({ source: 'c', destination: 'a' }, long);
    assert.deepEqual(movesOf(back), ['large: a→b'], 'and not to c, from where it came');
  });

  test('the policy’s own limits and the rests of its hosts are not about that', () => {
    const policy = settings({ maxMovesPerHour: 1, hostCoolDownMs: 60 * MINUTE_MS });
    assert.deepEqual(movesOf(byOthers({ vm: 'id-another' }, policy)), ['large: a→c']);
    assert.deepEqual(movesOf(byOthers({ vm: 'id-another', endedAtMs: null }, policy)), ['large: a→c']);
  });
});

test('an entry of a rule that no VM answers to is told of, unless a host is silent', () => {
  const rules = { pinned: ['larg', 'small', 'web-*'], antiAffinity: [{ vms: ['middle', 'label:db'] }] };
  const answer = passOver(busyHosts(), { policy: settings({ rules }) });
  const texts = answer.decisions.filter(({ code }) => code === 'RULE_NAMES_NOBODY').map(({ text }) => text);
  assert.deepEqual(
    texts.map((text) => text.split(',')[0]),
    ['rules.pinned names larg', 'rules.pinned names web-*', 'rules.antiAffinity.0 names label:db'],
  );
  const silent = observed(busyHosts(), { silent: [{ endpoint: 'd', reason: 'd is left out.' }] });
  assert.ok(!codesOf(passOver([], { policy: settings({ rules }), observation: silent })).includes('RULE_NAMES_NOBODY'));
});

describe('what stands against it', () => {
  test('no way, another hypervisor, a silent host', () => {
    const shut = observed(busyHosts(), {
      way: (_, to) => ({ usable: false, reason: `site of ${to} has no gateway.` }),
    });
    assert.match(
      textOf(passOver([], { observation: shut }), 'NO_WAY'),
      /^large cannot go to b: site of b has no gateway\.$/,
    );
    const silent = observed(busyHosts().slice(0, 2), { silent: [{ endpoint: 'c', reason: 'c is left out: gone.' }] });
    const answer = passOver([], { observation: silent });
    assert.deepEqual([movesOf(answer), textOf(answer, 'HOST_SILENT')], [['large: a→b'], 'c is left out: gone.']);
  });

  test('the cost: a large guest over a thin line, or one that never gets across', () => {
    const hosts = [
      host('a', [{ name: 'fat', cores: 9, gib: 32, dirtyRateBytesPerSec: 50_000 }]),
      host('b', []),
      host('c', []),
    ];
    const thin = observed(hosts, { way: () => ({ usable: true, rateBytesPerSec: 1_000_000 }) });
    const policy = settings({ cpu: { low: 0.95, high: 0.96 }, memory: { weight: 0 } });
    const slow = passOver([], { observation: thin, policy: settings({ ...policy, cpu: { low: 0.5, high: 0.6 } }) });
    assert.deepEqual(movesOf(slow), []);
    const small = [
      { name: 'fat', cores: 4, gib: 32, dirtyRateBytesPerSec: 50_000 },
      { name: 'rest', cores: 5 },
    ];
    const costly = observed([host('a', small), host('b', []), host('c', [])], { way: thin.way });
    const pinned = settings({ rules: { pinned: ['rest'] } });
    assert.match(
      textOf(passOver([], { observation: costly, policy: pinned }), 'GAIN_TOO_SMALL'),
      /^fat stays: going to b would gain .* points and cost .* points, and 5 points are asked for\.$/,
    );
    const wild = [
      { name: 'wild', cores: 4, dirtyRateBytesPerSec: 9e8 },
      { name: 'rest', cores: 5 },
    ];
    assert.match(
      textOf(passOver([host('a', wild), host('b', []), host('c', [])], { policy: pinned }), 'NEVER_ACROSS'),
      /^the dirty rate of wild exceeds what the way to b carries\.$/,
    );
  });

  test('what is not known is not guessed', () => {
    const hosts = busyHosts();
    const [a, b, c] = hosts;
    assert.ok(a && b && c);
    const blind = { ...a, vms: a.vms.map((vm) => ({ ...vm, use: { ...vm.use, cpu: null } })) };
    assert.match(textOf(passOver([blind, b, c]), 'VM_USE_UNKNOWN'), /how much processor it uses is not known/);
    const dark = { ...a, used: { ...a.used, cpu: null } };
    const answer = passOver([dark, b, c]);
    assert.deepEqual(movesOf(answer), []);
    assert.match(textOf(answer, 'HOST_UNKNOWN'), /^a is left alone/);
  });

  test('what is on its way counts where it goes', () => {
    const inFlight = [{ vm: 'large', source: 'a', destination: 'b' }];
    const answer = passOver([], { observation: observed(busyHosts(), { inFlight }) });
    assert.deepEqual([movesOf(answer), answer.hosts.map(({ uses }) => uses.cpu)], [[], [0.5, 0.5, 0]]);
  });
});

test('a decision is looked at once more: it must still be right', () => {
  const first = passOver(busyHosts());
  const [planned] = first.moves;
  assert.ok(planned !== undefined);
  const question: Question = {
    ...{ policy: settings(), memory: first.memory, past: [], setBacks: [], nowMs: NOW_MS },
    observation: observed(busyHosts()),
  };
  const again = (changes: Partial<Question>) => judgeAgain({ ...question, ...changes }, planned as BalancingMove);
  const over = (hosts: Parameters<typeof observed>[0]) => again({ observation: observed(hosts) });
  const [a, b, c] = busyHosts();
  assert.ok(a && b && c);
  assert.equal(again({}), undefined);
  assert.match(over([host('a', busy.slice(1)), b, c]) ?? '', /large does not run at a any more/);
  assert.match(over([host('a', busy.slice(0, 1)), b, c]) ?? '', /a is not too busy any more/);
  assert.match(over([a, b, host('c', [{ name: 'new', cores: 6 }])]) ?? '', /would rise to 100 %/);
  assert.match(again({ policy: settings({ rules: { pinned: ['large'] } }) }) ?? '', /large is pinned/);
});
