/** How a run ends that is cancelled while its VMs are looked for or checked. Played in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planBodySchema } from '../schemas/plan.ts';
import { newRun, newRunId, type PlanItem, type PlanRun } from './record.ts';
import { restarted } from './retry.ts';
import { nextStage, type StageTools } from './stages.ts';

const AT = '2026-06-01T12:00:00.000Z';
const MIGRATION = 'm_00000000-0000-4000-8000-000000000000';
const FINDING = { severity: 'blocker' as const, code: 'NO_WAY', message: 'As it was.', remedy: '' };

const item = (name: string, state: PlanItem['state'], changes: Partial<PlanItem> = {}): PlanItem => ({
  ...{ key: `0/${name}`, wave: 0, vm: { id: name, name }, plugin: 'simulated', state },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
  ...{ networkMap: {}, diskMap: {}, keptDisks: [], disks: [], memoryBytes: 1, powerState: 'running' },
  ...{ findings: [], migrations: [], checkedAt: null, prediction: null, sourceAfter: null, leftAt: null },
  ...{ rehearsal: null, error: null, startedAt: null, endedAt: null },
  ...changes,
});
const runWith = (changes: Partial<PlanRun>): PlanRun => {
  const wave = { vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] };
  const definition = planBodySchema.parse({ waves: [wave, wave] });
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  return { ...newRun(definition, of, AT), ...changes };
};

async function cancelled(run: PlanRun): Promise<PlanRun> {
  const value = { ...run, cancelRequestedAt: AT };
  const stored = { value, version: 1, fence: { key: 'run', token: 0 } };
  const tools = { nowMs: Date.parse(AT) } as unknown as StageTools;
  const change = await nextStage(stored, tools, { signal: new AbortController().signal });
  return change?.run ?? assert.fail('it goes on');
}

test('a run that is cancelled while its VMs are checked has begun nothing, and nothing of it waits any more', async () => {
  const { phase, message, items, waves } = await cancelled(
    runWith({ phase: 'validating', items: [item('one', 'waiting')] }),
  );
  assert.deepEqual([phase, message], ['cancelled', 'It was cancelled before anything moved.']);
  assert.deepEqual([items[0]?.state, waves.map(({ state }) => state)], ['skipped', ['skipped', 'skipped']]);
});

test('a retry that is cancelled while it checks says that the first attempt moved VMs, and the next one checks anew', async () => {
  const failed = runWith({
    phase: 'failed',
    endedAt: AT,
    items: [item('one', 'moved', { migrations: [MIGRATION] }), item('two', 'refused')],
  });
  const again = restarted(failed);
  const looked = again.items.map((each) =>
    each.state === 'waiting' ? { ...each, checkedAt: AT, findings: [FINDING] } : each,
  );
  const run = await cancelled({ ...again, items: looked });
  assert.equal(run.message, 'It was cancelled before anything more moved.');
  assert.deepEqual(
    run.items.map(({ state }) => state),
    ['moved', 'skipped'],
  );
  const next = restarted(run).items[1];
  assert.deepEqual([next?.state, next?.checkedAt, next?.findings], ['waiting', null, []]);
});
