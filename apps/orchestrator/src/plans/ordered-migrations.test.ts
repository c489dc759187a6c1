/** What a run learns of migrations that did not succeed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError, type PluginErrorCode, type Presence } from '@lmas/plugin-api';
import type { Migration } from '../migrations/record.ts';
import { factsOf } from './ordered-migrations.ts';
import type { PlanRun } from './record.ts';

const ID = 'm_00000000-0000-4000-8000-000000000000';

async function learnt(migration: Pick<Migration, 'where' | 'byHand'> & Partial<Pick<Migration, 'phase' | 'error'>>) {
  const item = { state: 'moving', migrations: [ID], source: { endpoint: 'a' }, vm: { id: 'vm' } };
  const error = { code: 'CONNECTION_LOST', message: 'It was lost.', remedy: 'Submit it again.' };
  const scope = {
    migrations: { get: async () => ({ phase: 'failed', endedAt: null, error, ...migration }) },
    questions: { lend: () => assert.fail('it has not moved') },
  };
  const run = { items: [item] } as unknown as PlanRun;
  const facts = await factsOf(run, scope as never, { signal: new AbortController().signal });
  const { leftAt, error: told } = facts.get(ID) ?? assert.fail();
  return [leftAt, told?.remedy];
}

test('where it is, and what only a person can do about it', async () => {
  assert.deepEqual(await learnt({ where: 'source', byHand: null }), ['source', 'Submit it again.']);
  assert.deepEqual(await learnt({ where: 'unknown', byHand: null }), [null, 'Submit it again.'], 'nobody had looked');
  for (const where of ['unknown', 'both'] as const)
    assert.deepEqual(await learnt({ where, byHand: 'Look at both hosts.' }), [where, 'Look at both hosts.']);
});

test('a VM that stands paused at its source, or has left a definition behind, is for a person, also after a cancel', async () => {
  const byHand = 'Resume it there.';
  assert.deepEqual(await learnt({ where: 'source', byHand }), ['source', byHand]);
  assert.deepEqual(await learnt({ where: 'source', byHand, phase: 'cancelled', error: null }), ['source', byHand]);
  const nothing = { where: 'source' as const, byHand: null, phase: 'cancelled' as const, error: null };
  assert.deepEqual(await learnt(nothing), ['source', undefined], 'a cancel that has left nothing is no error');
});

test('an end that does not answer after the move is told apart from one that knows no such VM, with when the move ended', async () => {
  const ended = '2026-06-01T12:00:00.000Z';
  const asked = async (code: PluginErrorCode) => {
    const item = { state: 'moving', migrations: [ID], source: { endpoint: 'a' }, vm: { id: 'vm' } };
    const keptAtSource = [
      { kind: 'disk', id: '/vda' },
      { kind: 'nvram', id: '/nvram' },
    ];
    const report = { keptAtSource };
    const migration = { phase: 'succeeded', endedAt: ended, where: 'destination', byHand: null, error: null, report };
    const lend = async (endpoint: string) => {
      throw new PluginError(code, `asked ${endpoint}`);
    };
    const scope = { migrations: { get: async () => migration }, questions: { lend } };
    const run = { items: [item] } as unknown as PlanRun;
    const facts = await factsOf(run, scope as never, { signal: new AbortController().signal });
    const { vacated, endedAtMs, keptDisks } = facts.get(ID) ?? assert.fail();
    assert.deepEqual(keptDisks, ['/vda']);
    return [vacated, endedAtMs];
  };
  assert.deepEqual(await asked('UNREACHABLE'), ['unreachable', Date.parse(ended)]);
  assert.deepEqual(await asked('VM_NOT_FOUND'), ['absent', Date.parse(ended)]);
});

test('a copy that could be resumed where the VM was is told apart from one that is off', async () => {
  const asked = async (presence: Presence) => {
    const item = { state: 'moving', migrations: [ID], source: { endpoint: 'a' }, vm: { id: 'vm' } };
    const byHand = 'Destroy the old copy.';
    const migration = { phase: 'succeeded', endedAt: null, where: 'destination', byHand, error: null, report: null };
    const session = { findVm: async () => ({ presence }) };
    const lend = async () => ({ session, plugin: {}, giveBack: async () => undefined });
    const scope = { migrations: { get: async () => migration }, questions: { lend } };
    const run = { items: [item] } as unknown as PlanRun;
    const facts = await factsOf(run, scope as never, { signal: new AbortController().signal });
    return [facts.get(ID)?.vacated, facts.get(ID)?.byHand];
  };
  for (const presence of ['paused', 'incoming'] as const)
    assert.deepEqual(await asked(presence), ['paused', 'Destroy the old copy.']);
  for (const presence of ['running', 'stopped'] as const) assert.equal((await asked(presence))[0], presence);
});
