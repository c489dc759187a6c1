/** What a run finds out of its VMs before the first of them moves. Played in memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import { planBodySchema } from '../schemas/plan.ts';
import { newRun, newRunId, type PlanItem, type PlanRun } from './record.ts';
import { judge, validateSome } from './validate.ts';

const AT = '2026-06-01T12:00:00.000Z';

const item = (name: string): PlanItem => ({
  ...{ key: `0/${name}`, wave: 0, vm: { id: `id-${name}`, name }, plugin: 'simulated', state: 'waiting' },
  ...{ source: { endpoint: 'a', site: 'x' }, destination: { endpoint: 'b', site: 'y' } },
  ...{ networkMap: {}, diskMap: {}, keptDisks: [], disks: [], memoryBytes: 1, powerState: 'running' },
  ...{ findings: [], migrations: [], checkedAt: null, prediction: null, sourceAfter: null, leftAt: null },
  ...{ rehearsal: null, error: null, startedAt: null, endedAt: null },
});

/** @param inTheWay why a VM cannot be checked, by its name; @param moving whose migration another one is */
async function judged(inTheWay: Record<string, Error>, moving: readonly string[] = []): Promise<PlanRun> {
  const wave = { vms: [{ kind: 'host', source: 'a', destination: { endpoint: 'b' } }] };
  const of = { id: newRunId(), plan: 'p', project: null, mode: 'failover' as const, reverseOf: null };
  const run = { ...newRun(planBodySchema.parse({ waves: [wave, wave] }), of, AT), items: [item('db'), item('web')] };
  const scope = {
    checker: {
      async check({ vm }: { vm: string }) {
        const error = inTheWay[vm.slice('id-'.length)];
        if (error !== undefined) throw error;
        return { ok: true, findings: [], memoryBytes: 1, diskBytes: 0, prediction: null };
      },
    },
    migrations: {
      async requireFree({ name }: { name: string }, source: string) {
        assert.equal(source, 'a');
        if (moving.includes(name))
          throw new LmasError('VM_ALREADY_MIGRATING', 'Migration m_1 of this VM is under way.');
      },
    },
  };
  const options = { signal: new AbortController().signal, nowMs: Date.parse(AT) };
  const checked = await validateSome(run, scope as never, options);
  return judge(checked ?? assert.fail('all are checked'), options.nowMs);
}

test('a VM that another migration moves refuses the run before anything of it moves', async () => {
  const { phase, items, message, waves } = await judged({}, ['web']);
  assert.deepEqual(
    waves.map(({ state }) => state),
    ['skipped', 'skipped'],
  );
  assert.deepEqual([phase, items.map(({ state }) => state)], ['failed', ['skipped', 'refused']]);
  assert.equal(message, 'The checks say no for web. Nothing was moved.');
  const [finding] = items[1]?.findings ?? [];
  assert.deepEqual([finding?.severity, finding?.code], ['blocker', 'VM_ALREADY_MIGRATING']);
  assert.match(finding?.message ?? '', /m_1/);
  assert.equal((await judged({})).phase, 'running');
});

test('a VM that is gone is told of by its name and where it was, with what to do', async () => {
  const { items } = await judged({ db: new PluginError('VM_NOT_FOUND', 'There is no VM id-db.') });
  assert.deepEqual([items[0]?.error?.code, items[0]?.error?.message], ['VM_NOT_FOUND', 'db was not found at a.']);
  assert.match(items[0]?.error?.remedy ?? '', /look where it runs, and begin a new run/);
});
