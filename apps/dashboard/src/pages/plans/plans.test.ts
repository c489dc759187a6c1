import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PlanRun } from '@lmas/client';
import { gateWords, wavesOfPlan, wavesOfRun } from './drawn-waves.ts';
import { reasonsHeading } from './plan-words.ts';
import { canStay, isUnclear, leftOut, offersOf, waveThatAsks } from './run-offers.ts';

const afterwards = { pauseMs: 5_000, approval: true, checks: [] };
const none = { pauseMs: 0, approval: false, checks: [] };
const selector = { kind: 'vm', vm: 'db-1', source: { endpoint: 'a' }, destination: { endpoint: 'b' } };
const written = [
  { name: 'databases', vms: [selector], concurrency: 1, onFailure: 'stop', afterwards },
  { name: '', vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }], concurrency: 2, afterwards: none },
];

function runWith(over: object): PlanRun {
  const items = [
    { wave: 0, state: 'moved' },
    { wave: 1, state: 'moving' },
    { wave: 1, state: 'waiting' },
    { wave: 1, state: 'waiting' },
  ];
  const waves = [
    { name: 'databases', state: 'done', approvedAt: '2030-01-01', pauseUntil: '2030-01-01' },
    { name: '', state: 'moving', approvedAt: null, pauseUntil: null },
  ];
  return {
    ...{ phase: 'running', mode: 'failover', pausedAt: null, definition: { waves: written }, waves, items },
    ...over,
  } as unknown as PlanRun;
}

test('each wave of a run is drawn with its own VMs as they are', () => {
  const [first, second] = wavesOfRun(runWith({}));
  assert.deepEqual([first?.words, first?.isNow], ['1 moved', false]);
  assert.deepEqual([second?.words, second?.isNow], ['1 moving, 2 waiting', true]);
  assert.deepEqual(
    second?.vms.map(({ tone }) => tone),
    ['busy', 'plain', 'plain'],
  );
});

test('a plan is drawn as it is written, and a group is not called a VM', () => {
  assert.deepEqual(
    wavesOfPlan({ waves: written } as never).map(({ words }) => words),
    ['1 VM, 1 at once', '1 group, 2 at once'],
  );
});

test('what has to happen between two waves is told in its order', () => {
  const checks = [
    { kind: 'tcp', host: '10.2.0.5', port: 5_432 },
    { kind: 'http', url: 'https://example.org/up' },
  ];
  assert.deepEqual(gateWords({ ...afterwards, checks } as never), [
    'pause 5 s',
    'approval',
    'check tcp 10.2.0.5:5432',
    'check https://example.org/up',
  ]);
});

test('a run is offered what it can be told now, and nothing else', () => {
  assert.deepEqual(offersOf(runWith({})), ['pause', 'cancel']);
  // As a run is between two waves: until when it pauses is always known, and past after a while.
  const between = { state: 'between', approvedAt: null, pauseUntil: '2020-01-01' };
  assert.deepEqual(offersOf(runWith({ waves: [between], pausedAt: '2030-01-01' })), ['approve', 'resume', 'cancel']);
  assert.equal(waveThatAsks(runWith({ waves: [between] })), 1);
  assert.equal(waveThatAsks(runWith({})), undefined);
  assert.deepEqual(offersOf(runWith({ waves: [{ ...between, approvedAt: '2020-01-02' }] })), ['pause', 'cancel']);
  const unasked = [{ state: 'done', approvedAt: null, pauseUntil: '2020-01-01' }, between];
  assert.deepEqual(offersOf(runWith({ waves: unasked })), ['pause', 'cancel'], 'the plan asks for nobody’s word');
  assert.deepEqual(offersOf(runWith({ phase: 'failed' })), ['retry', 'fail-back']);
  assert.deepEqual(offersOf(runWith({ phase: 'failed', items: [{ state: 'stuck' }] })), ['retry', 'fail-back']);
  assert.deepEqual(offersOf(runWith({ phase: 'succeeded', mode: 'validate' })), []);
});

test('a fail-back can leave out what it would move, and what nobody knows the place of', () => {
  const items = [
    { state: 'moved', leftAt: null },
    { state: 'stuck', leftAt: 'unknown' },
    { state: 'failed', leftAt: 'both' },
    { state: 'failed', leftAt: 'source' },
    { state: 'skipped', leftAt: null },
  ] as never as PlanRun['items'];
  assert.deepEqual(items.map(canStay), [true, true, true, false, false]);
  assert.deepEqual(items.map(isUnclear), [false, true, true, false, false]);
  assert.deepEqual(leftOut({ except: ['a'], poweredOff: 'as-the-plan-says' }), { except: ['a'] });
  assert.deepEqual(leftOut({ except: [], poweredOff: 'leave' }), { except: [], poweredOff: 'leave' });
});

test('only what was refused is headed so: a run that moved VMs has ended, or left something', () => {
  const heading = (mode: PlanRun['mode'], ...codes: readonly (string | undefined)[]) =>
    reasonsHeading({ mode, reasons: codes.map((code) => ({ path: '', message: '', ...(code && { code }) })) });
  assert.equal(heading('failover', 'ENDPOINT_SILENT'), 'What is left');
  assert.equal(heading('failover', 'ENDPOINT_SILENT', 'APPROVAL_EXPIRED'), 'Why it ended');
  assert.equal(heading('failover', 'ENDPOINT_SILENT', undefined), 'It was refused');
  assert.equal(heading('disaster', undefined), 'What is known');
});
