import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Schedule } from '@lmas/client';
import { draftOf, emptySchedule, requestOf } from './schedule-draft.ts';
import { actionWords, periodWords, triggerWords } from './schedule-words.ts';

const migration = { vm: 'web-1', source: 'host-a', destination: 'host-b', priority: 70 };
const blackouts = [{ kind: 'dates', from: '2030-12-18T00:00:00Z', to: '2031-01-07T00:00:00Z' }];
const windows = [
  { kind: 'weekly', days: ['fri', 'sat'], from: '22:00', to: '06:00' },
  { kind: 'weekly', days: ['sun'], from: '08:00', to: '12:00' },
];
const schedule = {
  ...{ id: 'weekend', description: '', action: { kind: 'migration', migration }, blackouts, windows },
  trigger: { kind: 'cron', expression: '0 23 * * fri' },
  ...{ timeZone: 'Europe/Lisbon', missed: 'next-window', overlap: 'queue' },
} as unknown as Schedule;

test('a schedule goes through the form and back as it was, also what the form does not show', () => {
  assert.deepEqual(requestOf(draftOf(schedule), schedule), schedule);
});

test('an action that the form has no fields for stays as it is', () => {
  const other = { ...schedule, action: { kind: 'newer', thing: 'hall-1' } } as unknown as Schedule;
  assert.deepEqual(requestOf(draftOf(other), other)?.action, other.action);
});

test('a pass of a policy goes through the form and back', () => {
  const pass = { ...schedule, action: { kind: 'balancing', policy: 'hall-1' } } as unknown as Schedule;
  assert.deepEqual(requestOf(draftOf(pass), pass)?.action, pass.action);
  assert.equal(actionWords(pass), 'a pass of policy hall-1');
  assert.equal(requestOf({ ...draftOf(pass), policy: '' }, pass), null, 'without its policy');
});

test('an incomplete form makes no request', () => {
  assert.equal(requestOf(emptySchedule), null);
  const plan = { ...emptySchedule, id: 'nightly', plan: 'payments' };
  assert.deepEqual(requestOf(plan)?.action, { kind: 'plan', plan: 'payments', mode: 'failover' });
  assert.equal(requestOf({ ...plan, when: 'once' }), null, 'without its time');
  assert.equal(requestOf({ ...plan, does: 'migration' }), null, 'without a VM');
});

test('a time as the browser gives it is one as the API takes it', () => {
  const at = requestOf({ ...emptySchedule, id: 'x', plan: 'p', when: 'once', at: '2030-03-27T23:30' })?.trigger;
  assert.deepEqual(at, { kind: 'once', at: '2030-03-27T23:30:00' });
});

test('windows and times are told in words', () => {
  assert.deepEqual((schedule.windows ?? []).map(periodWords), ['fri, sat 22:00–06:00', 'sun 08:00–12:00']);
  assert.deepEqual((schedule.blackouts ?? []).map(periodWords), ['2030-12-18 00:00 – 2031-01-07 00:00 UTC']);
  assert.equal(triggerWords(schedule), '0 23 * * fri (Europe/Lisbon)');
});
