/** Which end has a VM that is off, once it was begun to be placed: what the plugin answers is scripted, Redis is not asked at all. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError, type PluginErrorCode, type RelocatedPresence, whereRelocated } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { type JournalledResource, resourceSchema } from '../migrations/journal-entry.ts';
import { mayFollow, type Phase } from '../migrations/phases.ts';
import { newMigrationId, newRecord, preparedSchema, type StoredMigration } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import type { Hypervisors } from './hypervisors.ts';
import { Journal } from './journal.ts';
import { relocateVm, settleRelocationLate } from './relocation.ts';
import type { Run } from './run.ts';
import type { Tools } from './tools.ts';
import { type Errand, Scope } from './way.ts';

type Look = readonly [source: RelocatedPresence, destination: RelocatedPresence];
const AT_SOURCE: Look = ['stopped', 'held'];

const REPORT = {
  ...{ downtimeMs: null, bytesTransferred: null, iterations: null },
  ...{ keptAtSource: [], sourceDefinition: '<web/>', warnings: [] },
};

interface Script {
  /** What `locate` sees, look by look, and the last one for ever. */
  readonly looks?: readonly Look[];
  /** What each `place` is answered with, and the last one for ever; `null`: it is placed. */
  readonly answers?: readonly (PluginErrorCode | null)[];
  readonly pointOfNoReturnAt?: string | null;
  readonly isCancelled?: boolean;
  readonly settleMs?: number;
  /** What the earlier run had come to. */
  readonly phase?: Phase;
  readonly isPrepared?: boolean;
}

/** A run on a hypervisor that answers as it is told. */
async function stage({
  looks = [AT_SOURCE],
  answers = [null],
  pointOfNoReturnAt = new Date().toISOString(),
  isCancelled = false,
  settleMs = 10_000,
  phase = 'performing',
  isPrepared = true,
}: Script) {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b', powerState: 'off' });
  const record: StoredMigration = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  record.migration.vm.id = 'id';
  record.migration.where = 'source';
  record.migration.phase = phase;
  record.migration.pointOfNoReturnAt = pointOfNoReturnAt;
  if (isPrepared) record.notes.prepared = preparedSchema.parse({ flows: [], sourceAddresses: [], state: null });
  const journal = new Journal([], async () => undefined);
  let [looked, placed] = [0, 0];
  const driver = {
    locate: async () => {
      const [source, destination] = looks[Math.min(looked, looks.length - 1)] as Look;
      looked += 1;
      return { source, destination, where: whereRelocated(source, destination) };
    },
    place: async () => {
      const code = answers[Math.min(placed, answers.length - 1)] ?? null;
      placed += 1;
      if (code !== null) throw new PluginError(code, `place ${placed}`);
      return REPORT;
    },
  };
  const cancelled = isCancelled ? AbortSignal.abort(new LmasError('CANCELLED')) : new AbortController().signal;
  const run = {
    ...record,
    ...{ id: record.migration.id, journal, cancelled, log: createLog('silent'), lost: new AbortController().signal },
    ...{ isRecovery: true, assertCurrent: async () => undefined },
    update: async (change: (draft: StoredMigration) => void) => change(record),
    enter: async (next: Phase) => {
      assert.ok(mayFollow(record.migration.phase, next), `from ${record.migration.phase} to ${next}`);
      record.migration.phase = next;
    },
    passPointOfNoReturn: async () => {
      if (record.migration.pointOfNoReturnAt !== null) return;
      if (isCancelled) throw new LmasError('CANCELLED');
      record.migration.pointOfNoReturnAt = new Date().toISOString();
    },
  } as unknown as Run;
  const hypervisors = { relocation: async () => driver } as unknown as Hypervisors;
  const tools = { settings: { settleMs, settleRetryMs: 2 } } as unknown as Tools;
  const errand: Errand = { run, tools, hypervisors, scope: new Scope() };
  return { errand, record, journal, placed: () => placed };
}

/** Of a run that finds that an earlier one had begun to place the VM. */
async function recover(script: Script, resources: readonly JournalledResource[] = [{ kind: 'hand-over' }]) {
  const { errand, record, journal, placed } = await stage(script);
  for (const resource of resources) await journal.intend(resource);
  const ending = await relocateVm(errand);
  return { ending, record, journal, placed: placed() };
}

test('what nobody has answered may still be done: it is placed again until it is, or is refused', async () => {
  for (const code of ['CONNECTION_LOST', 'TIMEOUT', 'ABORTED', 'UNREACHABLE'] as const) {
    const { ending, placed } = await recover({ answers: [code, code, null] });
    assert.deepEqual([ending.outcome, ending.where, placed], ['succeeded', 'destination', 3], code);
  }
  for (const code of ['NOT_MIGRATABLE', 'BUSY', 'INCOMPATIBLE'] as const) {
    const { ending, placed } = await recover({ answers: ['TIMEOUT', code] });
    assert.deepEqual([ending.outcome, ending.where, ending.error?.code, placed], ['failed', 'source', code, 2]);
  }
});

test('what nobody answers in time is not undone: nobody knows which end will have the VM', async () => {
  const { ending, placed } = await recover({ answers: ['TIMEOUT'], settleMs: 100 });
  assert.deepEqual([ending.outcome, ending.where, ending.error?.code], ['failed', 'unknown', 'OUTCOME_UNKNOWN']);
  assert.ok(ending.isOpen && placed > 1, `${placed} times`);
});

test('a VM that runs at the source by then stays there', async () => {
  const { ending, placed } = await recover({ looks: [['running', 'held']] });
  assert.deepEqual([ending.outcome, ending.where, placed], ['failed', 'source', 0]);
});

test('a cancel that came before the point of no return is heeded by the run that recovers; of one that is placed it is too late', async () => {
  const early = await recover({ pointOfNoReturnAt: null, isCancelled: true });
  assert.deepEqual([early.ending.outcome, early.ending.where, early.placed], ['cancelled', 'source', 0]);
  const late = await recover({ pointOfNoReturnAt: null, isCancelled: true, looks: [['absent', 'held']] });
  assert.deepEqual([late.ending.outcome, late.placed], ['succeeded', 1]);
  const none = await recover({ pointOfNoReturnAt: null });
  assert.deepEqual([none.ending.outcome, none.record.migration.pointOfNoReturnAt !== null], ['succeeded', true]);
});

test('a run that was killed before anything was prepared does not go on with what somebody else has moved: it says so at once', async () => {
  const nothing = { phase: 'checking', isPrepared: false, pointOfNoReturnAt: null } as const;
  const moved = await recover({ ...nothing, looks: [['absent', 'stopped']] }, []);
  assert.deepEqual([moved.ending.outcome, moved.ending.where], ['failed', 'destination']);
  assert.deepEqual([moved.ending.error?.code, moved.placed, moved.ending.isOpen ?? false], ['VM_NOT_FOUND', 0, false]);
  const forgotten = await recover({ ...nothing, looks: [['absent', 'held']] }, []);
  assert.deepEqual([forgotten.ending.where, forgotten.ending.isOpen, forgotten.placed], ['unknown', true, 0]);
  assert.match(forgotten.ending.byHand ?? '', /may it be let go by hand/);
});

test('a definition that somebody else has at the destination is told by the checks, not taken for one of ours', async () => {
  const looks: readonly Look[] = [['stopped', 'stopped']]; // the checks themselves are not scripted here
  const { ending } = await recover({ looks, phase: 'checking', isPrepared: false, pointOfNoReturnAt: null }, []);
  assert.deepEqual([ending.where, ending.isOpen ?? false], ['source', false]);
});

/** One late attempt at a relocation that has ended with nobody knowing which end has the VM. */
async function attemptLate(script: Script, { isTheirs = false } = {}) {
  const { errand, record, journal, placed } = await stage({ ...script, phase: 'failed' });
  Object.assign(record.migration, { where: 'unknown', byHand: 'Look.' });
  record.notes.isOpen = true;
  await journal.intend({ kind: 'hand-over' });
  const words = { get: async () => (isTheirs ? { at: '', by: '' } : null) };
  const tools = { giveUps: { get: async () => null }, words } as unknown as Tools;
  await settleRelocationLate(errand.run, tools, errand.hypervisors);
  const { where, report } = record.migration;
  return { where, definition: report?.sourceDefinition, placed: placed(), isOpen: record.notes.isOpen };
}

test('late as well the rest is done of a VM that was let go: how it starts, and what the report says', async () => {
  for (const there of ['held', 'stopped'] as const) {
    const found = await attemptLate({ looks: [['absent', there]] });
    assert.deepEqual(found, { where: 'destination', definition: '<web/>', placed: 1, isOpen: false }, there);
  }
  const refused = await attemptLate({ looks: [['absent', 'stopped']], answers: ['UNREACHABLE'] });
  assert.deepEqual([refused.where, refused.isOpen], ['unknown', true], 'it is tried again');
});

test('what somebody looks after is placed no more; where it is, is still told', async () => {
  const held = await attemptLate({ looks: [['absent', 'held']] }, { isTheirs: true });
  assert.deepEqual([held.where, held.placed, held.isOpen], ['unknown', 0, true]);
  const theirs = await attemptLate({ looks: [['absent', 'stopped']] }, { isTheirs: true });
  assert.deepEqual([theirs.where, theirs.placed, theirs.isOpen], ['destination', 0, false]);
});

test('what was made there for the VM is left to a person once a definition was seen beside the source’s that can be started', async () => {
  const of = (kind: string, end: 'source' | 'destination') =>
    resourceSchema.parse({ kind: 'plugin', resource: { kind, id: kind, end, data: {} } });
  const volume = of('volume', 'destination');
  const autostart = of('autostart', 'source');
  for (const [looks, isLeft] of [
    [[['stopped', 'stopped']], true],
    [[['unreachable', 'running'], ...Array<Look>(99).fill(['unreachable', 'absent'])], true],
    [[['unreachable', 'held']], false],
    [[['running', 'held']], false],
  ] as const) {
    const script = { looks: looks as readonly Look[], settleMs: 50 };
    const { journal } = await recover(script, [{ kind: 'hand-over' }, volume, autostart]);
    assert.deepEqual([journal.wasLeft(volume), journal.wasLeft(autostart)], [isLeft, false], String(looks[0]));
  }
});
