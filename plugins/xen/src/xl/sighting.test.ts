/** Each row of the table in sighting.ts, and the doubts in which nothing is done. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Look } from './client.ts';
import { presenceOf } from './guests.ts';
import type { Domain } from './listing.ts';
import { deadCopyOf, placementOf, remedyFor, type Sighting, type Sightings } from './sighting.ts';

const NONE: Look = {
  ...{ send: 'none', receive: 'none', given: false, report: null, discarded: false, sent: null, list: '' },
  ...{ left: [], kept: null, stood: null, ready: false, others: [] },
};
const sender = (more: Partial<Look> = {}): Partial<Look> => ({ send: 'ended', ...more });
const receiver = (more: Partial<Look> = {}): Partial<Look> => ({ receive: 'ended', ...more });

function sighting(state: string | null, look: Partial<Look>): Sighting {
  if (state === 'silent') return { presence: 'unreachable' };
  if (state === null) return { presence: 'absent', look: { ...NONE, ...look } };
  const [name = '', how] = state.split(' ');
  const domain: Domain = {
    ...{ domid: 7, name, uuid: 'x', memoryMib: 1, vcpus: 1, cpuSec: 0, ended: false, dying: false },
    ...{ paused: how === 'paused', suspended: how === 'suspended', ...(how === 'ended' && { ended: true }) },
  };
  return { presence: presenceOf(domain), domain, look: { ...NONE, ...look } };
}

type Ends = readonly [
  source: string | null,
  sourceNotes: Partial<Look>,
  destination: string | null,
  destinationNotes: Partial<Look>,
];
const seen = ([here, hereNotes, there, thereNotes]: Ends): Sightings => ({
  source: sighting(here, hereNotes),
  destination: sighting(there, thereNotes),
});

const given = sender({ given: true, ready: true });
const cases: readonly (readonly [what: string, ends: Ends, done: string | null, where: string])[] = [
  ['it has arrived', ['web--migratedaway suspended', given, 'web runs', receiver()], null, 'destination'],
  [
    'it was given, and stands there',
    ['web--migratedaway suspended', given, 'web paused', receiver()],
    'unpause',
    'unknown',
  ],
  ['it runs here, half of it there', ['web runs', sender(), 'web--incoming paused', receiver()], 'discard', 'source'],
  [
    'it stands here, half of it there',
    ['web suspended', sender(), 'web--incoming paused', receiver()],
    'discard',
    'source',
  ],
  ['it stands here, nothing there', ['web suspended', sender(), null, receiver()], 'resume', 'source'],
  [
    'the same, renamed',
    ['web--migratedaway suspended', sender({ ready: true }), null, receiver()],
    'give-name-back',
    'source',
  ],
  [
    'renamed, though our receiver had never said that it has all: given away by others',
    ['web--migratedaway suspended', sender(), null, receiver()],
    null,
    'unknown',
  ],
  [
    'it stands here, and another xl is at it',
    ['web suspended', sender({ others: ['xl save, process 7'] }), null, receiver()],
    null,
    'unknown',
  ],
  [
    'it was given, stands there, and another xl is at it here',
    ['web--migratedaway suspended', { ...given, others: ['xl migrate, process 7'] }, 'web paused', receiver()],
    null,
    'unknown',
  ],
  [
    'another xl is at it here, and half of it there',
    ['web runs', sender({ others: ['xl save, process 7'] }), 'web--incoming paused', receiver()],
    null,
    'source',
  ],
  [
    'given, and xl reported that it failed',
    ['web suspended', given, null, receiver({ report: 1 })],
    'resume',
    'source',
  ],
  [
    'given, and we destroyed the copy',
    ['web suspended', given, null, receiver({ discarded: true })],
    'resume',
    'source',
  ],
  ['given, xl reported that it ran', ['web suspended', given, null, receiver({ report: 0 })], null, 'unknown'],
  ['given, and the destination forgot all', ['web suspended', given, null, {}], null, 'unknown'],
  [
    'not known to be given, but reported to have run',
    ['web suspended', sender(), null, receiver({ report: 0 })],
    null,
    'unknown',
  ],
  ['a receiver waits', ['web runs', sender(), null, { receive: 'listening' }], 'stop-receiver', 'source'],
  [
    'a receiver works',
    ['web suspended', given, 'web--incoming paused', { receive: 'working' }],
    'stop-receiver',
    'source',
  ],
  ['the destination is silent', ['web suspended', sender(), 'silent', {}], null, 'unknown'],
  ['the source is silent', ['silent', {}, 'web--incoming paused', receiver()], null, 'unknown'],
  ['a copy that is not ours', ['web runs', sender(), 'web--incoming paused', {}], null, 'source'],
  ['the source is gone, half of it there', [null, {}, 'web--incoming paused', receiver()], null, 'unknown'],
  ['the source forgot, and runs it anew', ['web runs', {}, 'web--incoming paused', receiver()], 'discard', 'source'],
  [
    'the source forgot, a receiver works',
    ['web runs', {}, 'web--incoming paused', { receive: 'working' }],
    'stop-receiver',
    'source',
  ],
  ['the source forgot, and may have given it', ['web--migratedaway suspended', {}, null, receiver()], null, 'unknown'],
  ['the source forgot, and had not given it', ['web suspended', {}, null, receiver()], null, 'source'],
  ['it ran there, and stands there ended', ['web suspended', given, 'web ended', receiver()], null, 'unknown'],
  [
    'its own xl has left it standing',
    ['web suspended', sender({ stood: true }), null, receiver({ kept: [] })],
    'resume',
    'source',
  ],
  ['its own xl has left it running', ['web suspended', sender({ stood: false }), null, receiver()], null, 'unknown'],
  [
    'somebody else gives it away',
    ['web--migratedaway suspended', sender({ stood: false }), null, receiver()],
    null,
    'unknown',
  ],
  [
    'its own receiver has left that copy',
    ['web runs', sender(), 'web--incoming paused', receiver({ kept: [7] })],
    'discard',
    'source',
  ],
  [
    'somebody else is sending a copy there',
    ['web runs', sender(), 'web--incoming paused', receiver({ kept: [8] })],
    null,
    'source',
  ],
  ['somebody has paused it there', ['web runs', sender(), 'web paused', receiver()], null, 'source'],
];

for (const [what, ends, done, where] of cases) {
  test(`${what}: ${done ?? 'nothing is done'}`, () => {
    assert.equal(remedyFor(seen(ends))?.do ?? null, done);
    assert.equal(placementOf(seen(ends)).where, where);
  });
}

test('a dead copy is one that a receiver of ours left, where the guest runs at the source', () => {
  const left = { left: [{ migration: 'm_0', domid: 7 }] };
  const dead = (...ends: Ends) => deadCopyOf(seen(ends))?.migration;
  assert.equal(dead('web runs', {}, 'web--incoming paused', left), 'm_0');
  assert.equal(dead('web runs', {}, 'web--incoming paused', { left: [{ migration: 'm_0', domid: 8 }] }), undefined);
  assert.equal(dead('web suspended', {}, 'web--incoming paused', left), undefined);
  assert.equal(dead('web runs', {}, 'web paused', left), undefined);
  assert.equal(dead('silent', {}, 'web--incoming paused', left), undefined);
});
