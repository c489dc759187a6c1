import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Way } from '../contenders/contender.ts';
import { askingsOf, CELLS } from './latency.ts';

const entry = (port: number) => ({ host: '192.0.2.1', port });
const way = (ports: Partial<Way>): Way => ({
  entry: entry(1),
  askEntry: entry(2),
  async [Symbol.asyncDispose]() {},
  ...ports,
});
const placesOf = (asked: ReturnType<typeof askingsOf>) => asked.map(({ name, entry: { port } }) => [name, port]);

test('it is asked on the interactive route, in the full run on a bulk route as well, and elsewhere on what there is', () => {
  const ours = way({ bulkAskEntry: entry(3) });
  assert.deepEqual(placesOf(askingsOf('lmas', ours, false)), [
    ['lmas', 2],
    ['lmas, bulk route', 3],
  ]);
  assert.deepEqual(placesOf(askingsOf('lmas', ours, true)), [['lmas', 2]]);
  assert.deepEqual(placesOf(askingsOf('haproxy', way({}), false)), [['haproxy', 2]]);
  assert.throws(() => askingsOf('reference', way({ askEntry: null }), false), /one stream only/);
});

test('on a bulk route no more is under way than goes before bulk there', () => {
  const goesFirstBytes = 32 << 10; // apps/gateway/src/tunnel/scheduler.ts
  const slowestMs = 100 + Math.max(...CELLS.map(({ rttMs }) => rttMs));
  const [, bulk] = askingsOf('lmas', way({ bulkAskEntry: entry(3) }), false);
  const { requestBytes = 0, periodMs = 1 } = bulk?.question ?? {};
  assert.ok(requestBytes > 0 && requestBytes * Math.ceil(slowestMs / periodMs) <= goesFirstBytes);
});
