import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Presence } from '@lmas/plugin-api';
import { presenceOf } from '../presence.ts';
import { PAUSED, SHUTOFF, STATE } from '../rpc/constants.ts';
import { nextStep, placementOf, placeOf } from './settle.ts';
import { postCopyIn, type Sighting } from './sighting.ts';

const ALL: readonly Presence[] = ['running', 'paused', 'incoming', 'stopped', 'absent', 'unreachable'];

const see = (presence: Presence, more: Partial<Sighting> = {}): Sighting => {
  return {
    presence,
    domain: undefined,
    state: undefined,
    moving: false,
    foreignJob: false,
    postCopy: undefined,
    pausedByMigration: presence === 'paused',
    ...more,
  };
};
const step = (source: Sighting, destination: Presence, waitedMs = 0, pastNoReturn = true) =>
  nextStep({ source, destination: see(destination) }, waitedMs, { clearGraceMs: 100, pastNoReturn });

test('the source is resumed in one case only: stopped by a migration, nothing under way, and the destination knows nothing', () => {
  for (const source of ALL) {
    for (const destination of ALL) {
      for (const moving of [false, true]) {
        for (const pausedByMigration of [false, true]) {
          const decided = step(see(source, { moving, pausedByMigration }), destination);
          const may = source === 'paused' && destination === 'absent' && !moving && pausedByMigration;
          assert.equal(decided === 'resume-source', may, `${source} ${destination} ${moving} ${pausedByMigration}`);
        }
      }
    }
  }
});

test('the destination is cleared in one case only: it waits in vain, the source runs, and has for a while', () => {
  for (const source of ALL) {
    for (const destination of ALL) {
      for (const moving of [false, true]) {
        const decided = step(see(source, { moving }), destination, 1_000);
        const may = source === 'running' && destination === 'incoming' && !moving;
        assert.equal(decided === 'clear-destination', may, `${source} ${destination} ${moving}`);
      }
    }
  }
  assert.equal(step(see('running'), 'incoming', 50), 'wait');
});

test('a definition is removed in one case only: it could not be started there, and the source runs', () => {
  for (const source of ALL) {
    for (const destination of ALL) {
      for (const reason of [SHUTOFF.unknown, SHUTOFF.shutdown, SHUTOFF.migrated, SHUTOFF.failed]) {
        for (const moving of [false, true]) {
          const there = see(destination, { state: { state: STATE.shutOff, reason } });
          const decided = nextStep({ source: see(source, { moving }), destination: there }, 1_000, {
            clearGraceMs: 100,
          });
          const may = source === 'running' && !moving && destination === 'stopped' && reason === SHUTOFF.failed;
          assert.equal(decided === 'remove-definition', may, `${source} ${destination} ${reason} ${moving}`);
        }
      }
    }
  }
});

test('in post-copy nothing is done, and nobody is said to have the VM but a destination that runs it', () => {
  for (const moving of [false, true]) {
    for (const postCopy of ['under-way', 'broken'] as const) {
      for (const destination of ALL) {
        const source = see('paused', { moving, postCopy, pausedByMigration: false });
        assert.equal(step(source, destination, 60_000), 'done');
        const there = see(destination, { postCopy: destination === 'running' ? postCopy : undefined });
        const { where, postCopy: said } = placementOf({ source, destination: there });
        assert.equal(said, postCopy);
        assert.equal(where, postCopy === 'under-way' && destination === 'running' ? 'destination' : 'unknown');
      }
    }
  }
});

test('what the destination remembers of post-copy counts only while the source holds a process', () => {
  const destination = see('running', { postCopy: 'broken' });
  for (const presence of ['stopped', 'absent'] as const) {
    assert.equal(placementOf({ source: see(presence), destination }).postCopy, undefined);
    assert.equal(placementOf({ source: see(presence), destination }).where, 'destination');
  }
});

test('post-copy is broken when neither end goes on: one of them may only have lost its control connection', () => {
  const said = (source: Sighting['postCopy'], destination: Sighting['postCopy']) =>
    placementOf({
      source: see('paused', { postCopy: source }),
      destination: see('running', { postCopy: destination }),
    });
  assert.equal(said('broken', 'broken').postCopy, 'broken');
  for (const [source, destination] of [
    ['broken', 'under-way'],
    ['broken', undefined],
    ['under-way', 'broken'],
  ] as const) {
    const { postCopy, where, moving } = said(source, destination);
    assert.deepEqual([postCopy, where, moving], ['under-way', 'destination', true]);
  }
});

test('libvirt’s words for post-copy', () => {
  const cases: [state: number, reason: number, said: ReturnType<typeof postCopyIn>][] = [
    [STATE.paused, 12, 'under-way'],
    [STATE.paused, 13, 'broken'],
    [STATE.paused, 10, undefined],
    [STATE.running, 10, 'under-way'],
    [STATE.running, 11, 'broken'],
    [STATE.running, 12, undefined],
    [STATE.shutOff, 10, undefined],
    [STATE.paused, PAUSED.migration, undefined],
  ];
  for (const [state, reason, said] of cases) assert.equal(postCopyIn({ state, reason }), said, `${state} ${reason}`);
});

test('silence leads to nothing', () => {
  for (const other of ALL) {
    assert.equal(step(see('unreachable'), other), 'done');
    assert.equal(step(see(other), 'unreachable'), 'done');
    assert.equal(step(see(other, { moving: true }), 'unreachable'), 'done');
  }
});

test('a destination that is silent keeps nobody from stopping what moves, unless the guest may have been let go', () => {
  for (const presence of ['running', 'paused'] as const) {
    assert.equal(step(see(presence, { moving: true }), 'unreachable', 0, false), 'abort-job');
    assert.equal(step(see(presence), 'unreachable', 60_000, false), 'done');
    assert.equal(step(see(presence, { foreignJob: true }), 'unreachable', 60_000, false), 'done');
  }
  assert.equal(step(see('paused', { moving: true, postCopy: 'under-way' }), 'unreachable', 0, false), 'done');
  assert.equal(step(see('unreachable'), 'unreachable', 0, false), 'done');
});

test('a paused source beside an incoming guest waits: Finish may be under way', () => {
  assert.equal(step(see('paused'), 'incoming', 60_000), 'wait');
});

test('a migration that moves is asked to stop, unless the guest has arrived', () => {
  assert.equal(step(see('running', { moving: true }), 'incoming'), 'abort-job');
  assert.equal(step(see('paused', { moving: true }), 'incoming'), 'abort-job');
  assert.equal(step(see('paused', { moving: true }), 'running'), 'wait');
});

test('a job that is no migration is never aborted; while it lasts nothing is destroyed or resumed', () => {
  for (const source of ALL) {
    for (const destination of ALL) {
      const decided = step(see(source, { foreignJob: true }), destination, 60_000);
      assert.ok(decided === 'done' || decided === 'wait', `${source} ${destination}: ${decided}`);
    }
  }
  assert.equal(step(see('running', { foreignJob: true }), 'absent'), 'done');
});

test('a guest that somebody paused by hand is not resumed', () => {
  assert.equal(step(see('paused', { pausedByMigration: false }), 'absent'), 'done');
});

test('a definition at the destination is evidence that the guest was let go there', () => {
  assert.equal(placeOf('paused', 'stopped'), 'unknown');
  assert.equal(placeOf('running', 'stopped'), 'source');
  assert.equal(placeOf('paused', 'absent'), 'source');
});

describe('presence', () => {
  const cases: [state: number, reason: number, id: number, source: Presence, destination: Presence][] = [
    [STATE.running, 1, 4, 'running', 'running'],
    [STATE.blocked, 0, 4, 'running', 'running'],
    [STATE.shuttingDown, 0, 4, 'running', 'running'],
    [STATE.paused, PAUSED.user, 4, 'paused', 'paused'],
    [STATE.paused, PAUSED.ioError, 4, 'paused', 'paused'],
    [STATE.paused, PAUSED.migration, 4, 'paused', 'incoming'],
    [STATE.paused, PAUSED.startingUp, 4, 'incoming', 'incoming'],
    [STATE.shutOff, SHUTOFF.migrated, -1, 'stopped', 'stopped'],
    [STATE.crashed, 0, 4, 'paused', 'paused'],
    [STATE.crashed, 0, -1, 'stopped', 'stopped'],
    [STATE.pmSuspended, 0, 4, 'paused', 'paused'],
    [STATE.noState, 0, 4, 'paused', 'paused'],
  ];
  for (const [state, reason, id, source, destination] of cases) {
    test(`state ${state}, reason ${reason}, id ${id}`, () => {
      assert.equal(presenceOf({ state, reason }, id, 'source'), source);
      assert.equal(presenceOf({ state, reason }, id, 'destination'), destination);
    });
  }
});
