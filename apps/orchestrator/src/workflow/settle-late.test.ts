/** After an ending that is open: what it takes to believe where a VM is, what is done about it, and when nothing is. Scripted, with no Redis. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PluginError, type Presence, type VmPlacement, whereIs } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord, preparedSchema } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { arrivedUntidied, pausedAtSource, toMigrationError, undecided } from './ending.ts';
import type { Hypervisors } from './hypervisors.ts';
import { Journal } from './journal.ts';
import type { Run } from './run.ts';
import { restsAt, runsOnlyAt, settleLate } from './settle-late.ts';
import type { Tools } from './tools.ts';

const seen = (source: Presence, destination: Presence, changes: Partial<VmPlacement> = {}): VmPlacement => ({
  ...{ source, destination, where: whereIs(source, destination), moving: false },
  ...changes,
});

test('it runs at one end, the other one has answered, and nothing moves', () => {
  assert.equal(runsOnlyAt(seen('running', 'absent')), 'source');
  assert.equal(runsOnlyAt(seen('absent', 'running')), 'destination');
  assert.equal(runsOnlyAt(seen('stopped', 'running')), 'destination');
});

test('everything less is left to a person', () => {
  const unclear = [
    ...[seen('running', 'unreachable'), seen('unreachable', 'running'), seen('running', 'running')],
    ...[seen('running', 'incoming'), seen('running', 'stopped'), seen('running', 'paused'), seen('paused', 'running')],
    ...[seen('paused', 'absent'), seen('stopped', 'absent'), seen('absent', 'stopped'), seen('absent', 'absent')],
    ...[seen('running', 'absent', { moving: true }), seen('absent', 'running', { postCopy: 'broken' })],
  ];
  assert.deepEqual(
    unclear.filter((placement) => runsOnlyAt(placement) !== undefined),
    [],
  );
});

test('one that is powered off is found where its hypervisor leaves no doubt, and nowhere else', () => {
  assert.equal(restsAt(seen('absent', 'stopped', { atRest: true })), 'destination');
  assert.equal(restsAt(seen('stopped', 'absent', { atRest: true })), 'source');
  const unclear = [
    ...[seen('absent', 'stopped'), seen('stopped', 'absent'), seen('absent', 'stopped', { atRest: false })],
    ...[seen('stopped', 'stopped', { atRest: true }), seen('absent', 'stopped', { atRest: true, moving: true })],
  ];
  assert.deepEqual(
    unclear.filter((placement) => restsAt(placement) !== undefined),
    [],
  );
});

test('what is left on purpose is journalled as such, once, and is still to be released', async () => {
  const written: (string | null)[] = [];
  const journal = new Journal([], async ({ leftAt, releasedAt }) => void written.push(leftAt, releasedAt));
  const resource = { kind: 'barrier', end: 'source', site: 'a' } as const;
  await journal.intend(resource);
  await journal.markLeft(resource);
  await journal.markLeft(resource);
  assert.deepEqual(
    written.map((time) => time === null),
    [true, true, false, true],
  );
  assert.deepEqual(journal.unreleased(), [resource]);
  await journal.markReleased(resource);
  assert.deepEqual(journal.unreleased(), []);
});

test('a source that could not be tidied: the report says what the plugin knows to be undone at the destination', () => {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const atSource = { keptAtSource: [], sourceDefinition: null, warnings: ['Look whether it starts there.'] };
  record.notes.prepared = preparedSchema.parse({ flows: [], sourceAddresses: [], state: null, atSource });
  const { report } = arrivedUntidied(record as unknown as Run);
  assert.deepEqual(report?.warnings, ['a could not be tidied in time.', 'Look whether it starts there.']);
});

const REPORT = {
  ...{ downtimeMs: 7, bytesTransferred: null, iterations: null },
  ...{ keptAtSource: [], sourceDefinition: '<web/>', warnings: [] },
};
const ENDINGS = {
  unknown: (run: Run) => undecided(run, 'unknown', new LmasError('OUTCOME_UNKNOWN')),
  both: (run: Run) => undecided(run, 'both', new LmasError('BOTH_RUNNING')),
  standing: (run: Run) => pausedAtSource(run, { destination: 'absent' }, toMigrationError(run, new Error('no'))),
  untidied: arrivedUntidied,
};

/** Late attempts: what `locate` sees, look by look, what `abort` answers, and what came of them. */
async function attempt(
  looks: VmPlacement | readonly VmPlacement[],
  {
    ending = 'unknown',
    attempts = 1,
    aborted = [looks].flat()[0] as VmPlacement,
    confirm = async () => REPORT,
    said,
    handedOver = true,
    pointOfNoReturnAt = null,
    bothAnsweredAt = null,
    performingSince,
    onlyConfirmLetsGo,
    failure = 'CONNECTION_LOST',
  }: {
    ending?: keyof typeof ENDINGS;
    attempts?: number;
    aborted?: VmPlacement;
    confirm?: () => Promise<typeof REPORT>;
    said?: 'done' | 'given-up';
    handedOver?: boolean;
    pointOfNoReturnAt?: string | null;
    bothAnsweredAt?: string | null;
    performingSince?: string;
    onlyConfirmLetsGo?: boolean;
    failure?: string;
  } = {},
) {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const journal = new Journal([], async () => undefined);
  if (handedOver) await journal.intend({ kind: 'hand-over' });
  const told: string[] = [];
  const run = {
    ...record,
    ...{ id: record.migration.id, journal, log: createLog('silent'), lost: new AbortController().signal },
    assertCurrent: async () => undefined,
    update: async (change: (draft: typeof record) => void, event?: { message: string }) => {
      change(record);
      if (event !== undefined) told.push(event.message);
    },
  } as unknown as Run;
  const { outcome, where, error, report, byHand } = ENDINGS[ending](run);
  Object.assign(record.migration, { where, error, report, byHand, phase: outcome });
  record.migration.vm.id = 'id';
  record.migration.pointOfNoReturnAt = pointOfNoReturnAt;
  Object.assign(record.notes, { outcome, isOpen: true, arrived: ending === 'untidied', bothAnsweredAt });
  record.notes.prepared = { flows: [], sourceAddresses: [], state: '', onlyConfirmLetsGo };
  if (performingSince !== undefined)
    record.migration.timeline.push({ phase: 'performing', startedAt: performingSince });
  if (ending !== 'untidied') record.notes.failure = { ...toMigrationError(run, new Error('no')), code: failure };
  const calls: string[] = [];
  const seenInTurn = [looks].flat();
  const driver = {
    // The last one goes for whoever looks after it.
    locate: async () => (seenInTurn.length > 1 ? seenInTurn.shift() : seenInTurn[0]),
    abort: async ({ signal: _, ...options }: { signal: AbortSignal }) => {
      assert.deepEqual(options, { performed: true, pastNoReturn: pointOfNoReturnAt !== null, late: true });
      calls.push('abort');
      return aborted;
    },
    confirm: () => {
      calls.push('confirm');
      return confirm();
    },
  };
  const tools = {
    giveUps: { get: async () => (said === 'given-up' ? { at: '', by: '', reason: '' } : null) },
    words: { get: async () => (said === 'done' ? { at: '', by: '', note: '' } : null) },
    settings: { settleRetryMs: 1 },
  } as unknown as Tools;
  const hypervisors = { driver: async () => driver } as unknown as Hypervisors;
  for (let time = 0; time < attempts; time += 1) await settleLate(run, tools, hypervisors);
  const { migration, notes } = record;
  return { calls, told, migration, notes, first: { where, byHand, outcome } };
}

describe('once both ends can be asked again', () => {
  for (const ending of ['unknown', 'standing'] as const) {
    test(`a VM that a migration has left standing goes on at the source; the outcome stays (${ending})`, async () => {
      const options = { ending, aborted: seen('running', 'absent') };
      const { calls, told, migration, notes } = await attempt(seen('paused', 'absent'), options);
      assert.deepEqual(calls, ['abort']);
      assert.deepEqual([migration.where, migration.byHand, notes.isOpen], ['source', null, false]);
      assert.deepEqual([migration.phase, notes.outcome], ['failed', 'failed']);
      assert.match(migration.error?.remedy ?? '', /it runs at the source/);
      assert.match(told.join(), /it runs at the source/);
    });
  }

  test('one that went on by itself, and arrived, has its source tidied, and what it was there is on record', async () => {
    for (const there of [seen('stopped', 'running'), seen('paused', 'running'), seen('absent', 'running')]) {
      const { calls, told, migration, notes } = await attempt(there);
      assert.deepEqual([calls, migration.where, migration.byHand], [['confirm'], 'destination', null]);
      assert.deepEqual([migration.phase, notes.isOpen], ['failed', false]);
      assert.equal(migration.report?.sourceDefinition, '<web/>');
      assert.match(told.join(), /the source has been tidied/);
    }
  });

  test('a source that could not be tidied after the arrival is', async () => {
    const { calls, migration, notes } = await attempt(seen('paused', 'running'), { ending: 'untidied' });
    assert.deepEqual([calls, migration.where, migration.byHand], [['confirm'], 'destination', null]);
    assert.deepEqual([migration.phase, migration.report?.keptAtSource, notes.isOpen], ['succeeded', [], false]);
  });

  test('what could only be brought forward is tidied at once', async () => {
    const { calls, migration } = await attempt(seen('paused', 'paused'), { aborted: seen('paused', 'running') });
    assert.deepEqual([calls, migration.where], [['abort', 'confirm'], 'destination']);
  });

  test('a source that falls silent again takes back nothing of what the destination has said', async () => {
    const lost = new PluginError('CONNECTION_LOST', 'no', { arrived: true });
    const { migration, notes } = await attempt(seen('paused', 'running'), { confirm: () => Promise.reject(lost) });
    assert.deepEqual([migration.where, notes.arrived, notes.isOpen], ['destination', true, true]);
    assert.match(migration.byHand ?? '', /runs at the destination/);
  });

  test('what is as unclear as before stays as it was', async () => {
    for (const unclear of [seen('paused', 'incoming'), seen('stopped', 'absent'), seen('absent', 'absent')]) {
      const { calls, migration, notes, first } = await attempt(unclear);
      assert.deepEqual(calls, ['abort'], 'the plugin finds out');
      assert.deepEqual([migration.where, migration.byHand, notes.isOpen], [first.where, first.byHand, true]);
    }
  });
});

describe('the guest may have been let go, and the VM stands still at the source', () => {
  const paused = seen('paused', 'absent');
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();

  for (const ending of ['unknown', 'standing'] as const) {
    test(`and for too long nobody could ask both ends: it may have run, and ended, there, so a person is asked (${ending})`, async () => {
      for (const there of ['absent', 'incoming'] as const) {
        // By us, past the point of no return; or by the hypervisor itself, and nobody was there to hear of that.
        for (const times of [{ pointOfNoReturnAt: ago(61), onlyConfirmLetsGo: true }, { performingSince: ago(61) }]) {
          const options = { ending, ...times, attempts: 2 };
          const { calls, told, migration, notes } = await attempt(seen('paused', there), options);
          assert.deepEqual([calls, migration.where, notes.isOpen], [[], 'unknown', true], 'now, and at the next look');
          assert.match(migration.byHand ?? '', new RegExp(`says "${there}".* So it is not resumed by itself`));
          assert.equal(told.length, 1, 'told once');
        }
      }
    });
  }

  test('a person who has resumed it there ends that', async () => {
    const looks = [paused, seen('running', 'absent')];
    const { calls, migration } = await attempt(looks, { pointOfNoReturnAt: ago(61), attempts: 2 });
    assert.deepEqual([calls, migration.where, migration.byHand], [[], 'source', null]);
  });

  test('both were asked not so long ago: it is resumed', async () => {
    const goesOn = { aborted: seen('running', 'absent') };
    for (const times of [
      { pointOfNoReturnAt: ago(59) },
      { pointOfNoReturnAt: ago(300), bothAnsweredAt: ago(59) },
      { performingSince: ago(59) },
      { performingSince: ago(300), bothAnsweredAt: ago(59) },
      { performingSince: ago(300), pointOfNoReturnAt: ago(59) },
    ]) {
      const { calls, migration, notes } = await attempt(paused, { ...goesOn, ...times });
      assert.deepEqual([calls, migration.where], [['abort'], 'source']);
      assert.ok(Date.parse(notes.bothAnsweredAt ?? '') > Date.now() - 10_000, 'and that they were asked is kept');
    }
  });

  test('nobody but us can have let it go, and we have not: it is resumed however late', async () => {
    const options = { performingSince: ago(300), onlyConfirmLetsGo: true, aborted: seen('running', 'absent') };
    const { calls, migration } = await attempt(paused, options);
    assert.deepEqual([calls, migration.where], [['abort'], 'source']);
  });

  test('an end that is silent is no answer of both', async () => {
    const { notes } = await attempt(seen('paused', 'unreachable'), { pointOfNoReturnAt: ago(30) });
    assert.equal(notes.bothAnsweredAt, null);
  });
});

describe('nothing is touched', () => {
  const paused = seen('paused', 'absent');
  for (const [why, found, options] of [
    ['somebody has said that they look after it', paused, { said: 'done' }],
    ['somebody has given it up', paused, { said: 'given-up' }],
    ['this migration has handed nothing over', paused, { handedOver: false }],
    ['two copies were seen: a person is at work', paused, { ending: 'both' }],
    ['the guest was let go at the destination before', paused, { ending: 'untidied' }],
    ['an end does not answer', seen('paused', 'unreachable'), {}],
    ['something moves, which may still arrive', seen('running', 'absent', { moving: true }), {}],
    ['part of the memory is still at the source', seen('paused', 'running', { postCopy: 'broken' }), {}],
  ] as const) {
    test(`where ${why}`, async () => {
      const { calls, migration, notes, first } = await attempt(found, options);
      assert.deepEqual([calls, migration.where, migration.byHand], [[], first.where, first.byHand]);
      assert.equal(notes.isOpen, true);
    });
  }

  const both = seen('running', 'running');

  test('where two copies run, and the record says so', async () => {
    for (const ending of ['unknown', 'standing', 'untidied'] as const) {
      const { calls, told, migration, notes } = await attempt(both, { ending, attempts: 2 });
      assert.deepEqual([calls, migration.where, notes.isOpen], [[], 'both', true]);
      assert.match(migration.byHand ?? '', /runs on both .* power the other one off/);
      assert.deepEqual(
        told,
        ['the VM runs at both ends: nothing more is touched, a person has to decide'],
        'told once',
      );
    }
  });

  test('where two copies ran, and a person has paused one to have a look: only what is left at the end is believed', async () => {
    for (const [left, end] of [
      [seen('absent', 'running'), 'destination'],
      [seen('running', 'absent'), 'source'],
    ] as const) {
      for (const ending of ['unknown', 'untidied'] as const) {
        const looks = [
          both,
          both,
          seen('paused', 'running'),
          seen('running', 'paused'),
          seen('paused', 'running'),
          left,
        ];
        const lookedAt = await attempt(looks, { ending, attempts: 4 });
        assert.deepEqual([lookedAt.calls, lookedAt.migration.where], [[], 'both'], 'nothing is taken for a leftover');
        const { calls, migration, notes } = await attempt(looks, { ending, attempts: 5 });
        assert.deepEqual([calls, migration.where, migration.byHand, notes.isOpen], [[], end, null, false]);
      }
    }
  });

  test('where two copies were seen but once: it may have been handed over in between, and the next attempt goes on', async () => {
    const looks = [both, seen('paused', 'running')];
    const { calls, migration, first } = await attempt(looks);
    assert.deepEqual([calls, migration.where, migration.byHand], [[], first.where, first.byHand]);
    assert.deepEqual((await attempt(looks, { attempts: 2 })).calls, ['confirm']);
  });

  test('where the source has come to life while it was being tidied: two run, and that is what is told', async () => {
    const runsToo = new PluginError('OUTCOME_UNKNOWN', 'it runs at the source, too', { arrived: true });
    const looks = [seen('paused', 'running'), both];
    const { calls, migration, notes } = await attempt(looks, { confirm: () => Promise.reject(runsToo), attempts: 2 });
    assert.deepEqual([calls, migration.where, notes.arrived, notes.isOpen], [['confirm'], 'both', false, true]);
  });

  test('but what moves although it was cancelled is left to the plugin, which stops what is surely ours', async () => {
    const moving = seen('running', 'absent', { moving: true });
    assert.deepEqual((await attempt(moving, { failure: 'CANCELLED' })).calls, ['abort']);
  });

  test('and where a person has brought it to one end, the record says so', async () => {
    for (const options of [{ said: 'done' }, { handedOver: false }, { ending: 'both' }] as const) {
      const { calls, told, migration, notes } = await attempt(seen('running', 'absent'), options);
      assert.deepEqual([calls, migration.where, migration.byHand, notes.isOpen], [[], 'source', null, false]);
      assert.match(told.join(), /the VM was found: it runs at the source/);
    }
  });
});
