import assert from 'node:assert/strict';
import { test } from 'node:test';
import { settingsOf, withSetting } from './plan-settings.ts';

const WRITTEN = `# Of the team.
rtoMs: 3600000                 # how long
waves:
  - vms:
      - { kind: vm, vm: db-1, source: { endpoint: a }, destination: { endpoint: b } }
      - { kind: host, source: a, destination: { endpoint: b }, except: [db-1] }
  - vms:
      - kind: label
        label: web # those in front
        source: { site: lisbon }
        destination: { site: porto }
        order: largest
silent: leave   # of a big site
`;

test('what a plan says is read, and what it does not say is what the orchestrator takes', () => {
  const groups = [
    { path: ['waves', 0, 'vms', 1], words: 'All of host a', first: [], order: 'name' },
    { path: ['waves', 1, 'vms', 0], words: 'Label web', first: [], order: 'largest' },
  ];
  assert.deepEqual(settingsOf(WRITTEN), { poweredOff: 'refuse', silent: 'leave', memory: 'overcommit', groups });
  for (const text of ['waves: [', 'plain words', '', '- 1', 'waves: {}', 'waves: [{ vms: 1 }, null]']) {
    assert.deepEqual(settingsOf(text)?.groups ?? [], [], text);
  }
});

test('a setting takes its place and leaves the rest as it was written', () => {
  assert.equal(withSetting(WRITTEN, ['silent'], 'refuse'), WRITTEN.replace('silent: leave', 'silent: refuse'));
  assert.equal(withSetting(WRITTEN, ['memory'], 'check'), `${WRITTEN}memory: check\n`);
  assert.equal(withSetting('{}', ['memory'], 'check').trim(), '{ memory: check }');
  const host = withSetting(WRITTEN, ['waves', 0, 'vms', 1, 'first'], ['dc-1', 'db 2']);
  assert.equal(host, WRITTEN.replace('except: [db-1] }', 'except: [db-1], first: ["dc-1","db 2"] }'));
  assert.equal(
    withSetting(host, ['waves', 0, 'vms', 1, 'first'], []),
    WRITTEN.replace('except: [db-1] }', 'except: [db-1], first: [] }'),
  );
  assert.equal(
    withSetting(WRITTEN, ['waves', 1, 'vms', 0, 'order'], 'smallest'),
    WRITTEN.replace('order: largest', 'order: smallest'),
  );
});

test('where a line has no foreseen place the text is written anew, with its comments', () => {
  const text = withSetting(WRITTEN, ['waves', 1, 'vms', 0, 'first'], ['web-1']);
  assert.deepEqual(settingsOf(text)?.groups[1]?.first, ['web-1']);
  for (const comment of ['# Of the team.', '# how long', '# those in front', '# of a big site']) {
    assert.ok(text.includes(comment), comment);
  }
});

test('a plan that is JSON stays JSON', () => {
  const plan = { waves: [{ vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] }] };
  const set = withSetting(
    withSetting(JSON.stringify(plan, null, 2), ['poweredOff'], 'move'),
    ['waves', 0, 'vms', 0, 'first'],
    ['db-1'],
  );
  const [wave] = plan.waves;
  assert.deepEqual(JSON.parse(set), {
    waves: [{ vms: [{ ...wave?.vms[0], first: ['db-1'] }] }],
    poweredOff: 'move',
  });
});
