import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Gateway, Link } from '@lmas/client';
import { capacityOf, carriedByLink } from './link-load.ts';

function pair(migration: string, source: string, destination: string, sendBitsPerSec: number | null): Gateway[] {
  const tunnel = sendBitsPerSec === null ? null : { now: { sendBitsPerSec } };
  return [
    { migration, end: 'source', site: source, tunnel },
    { migration, end: 'destination', site: destination, tunnel },
  ] as unknown as Gateway[];
}

test('a link carries what the tunnels over it send, in both directions, each counted once', () => {
  const carried = carriedByLink([
    ...pair('m_1', 'lisbon', 'porto', 400),
    ...pair('m_2', 'porto', 'lisbon', 50),
    ...pair('m_3', 'madrid', 'lisbon', 7),
    ...pair('m_4', 'madrid', 'porto', null),
    ...pair('m_5', 'lisbon', 'porto', 1).slice(0, 1),
  ]);
  assert.deepEqual(
    [...carried].toSorted(),
    [
      ['lisbon~madrid', 7],
      ['lisbon~porto', 450],
      ['madrid~porto', 0],
    ],
    'one whose other end is not there yet is on no link',
  );
});

test('what was measured counts for more than what was set', () => {
  const measured = (...rates: (number | null)[]) =>
    ({ rateBitsPerSec: 1_000, measurements: rates.map((goodputBitsPerSec) => ({ goodputBitsPerSec })) }) as Link;
  assert.equal(capacityOf(measured(900, 940)), 940);
  assert.equal(capacityOf(measured(null)), 1_000);
  assert.equal(capacityOf({ ...measured(), rateBitsPerSec: null }), null);
});
