/** What a VM may copy over where it goes: what its own last move from there has left, and nothing that anybody may have used since. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../migrations/record.ts';
import { leftAt, withLeftThere } from './left-there.ts';
import type { PlanItem } from './record.ts';

const move = (source: string, destination: string, more: object = {}): Migration =>
  ({
    ...{ purpose: 'move', phase: 'succeeded', where: 'destination', startedAt: '2026-06-01T12:00:00.000Z' },
    ...{ vm: { id: 'vm', name: 'web' }, source: { endpoint: source }, destination: { endpoint: destination } },
    report: { keptAtSource: [{ kind: 'disk', id: `/${source}.img` }] },
    ...more,
  }) as Migration;
const FAILED = { phase: 'failed', where: 'source', report: null };

test('the newest move that came or went decides', () => {
  const left = (...newest: Migration[]) => leftAt('b', 'vm', newest);
  const away = move('b', 'a');
  assert.deepEqual(left(away), ['/b.img']);
  assert.deepEqual(left({ ...away, purpose: 'relocation' }), ['/b.img'], 'powered off');
  assert.deepEqual(left({ ...away, phase: 'failed' }), ['/b.img'], 'it has arrived after all');
  assert.deepEqual(left(move('a', 'b', FAILED), away), ['/b.img'], 'what did not move has changed nothing');
  assert.deepEqual(left(move('a', 'b', { purpose: 'drill' }), away), ['/b.img'], 'nor does a drill');
  assert.deepEqual(left(move('b', 'a', FAILED), away), [], 'it was back, by other hands');
  assert.deepEqual(left(), []);
  assert.deepEqual(left(move('a', 'b'), away), [], 'it was there since, and who took it from there is not known');
  assert.deepEqual(left(move('a', 'b', { phase: 'performing', where: 'source' }), away), [], 'it is on its way');
  for (const where of ['both', 'unknown'] as const) assert.deepEqual(left(move('a', 'b', { where }), away), [], where);
  assert.deepEqual(left(move('b', 'a', { vm: { id: 'other', name: 'vm' } })), [], 'another one of that name');
});

test('what a plan names stays; what does not move asks nobody', async () => {
  const asked: unknown[] = [];
  const list = async (query: unknown) => {
    asked.push(query);
    return { items: [move('b', 'a')], nextCursor: null };
  };
  const item = (state: PlanItem['state']) =>
    ({ key: state, state, vm: { id: 'vm' }, destination: { endpoint: 'b' }, keptDisks: ['/named.img'] }) as PlanItem;
  const [waiting, left] = await withLeftThere([item('waiting'), item('left')], { list });
  assert.deepEqual([waiting?.keptDisks, left?.keptDisks], [['/named.img', '/b.img'], ['/named.img']]);
  assert.deepEqual(asked, [{ vm: 'vm', endpoint: 'b', limit: 50 }]);
});
