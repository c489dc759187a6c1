/** Two migrations between the same two hosts: the second one hands itself back, and says for whom it waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckReport } from '@lmas/plugin-api';
import type { Hypervisors } from '../hypervisors.ts';
import type { Run } from '../run.ts';
import { takeHosts } from './hosts.ts';

const { signal } = new AbortController();
const report = (source: string, destination: string): CheckReport => ({
  ...{ findings: [], memoryBytes: 0, diskBytes: 0, hosts: { source, destination } },
});
const intercepted = { canBeIntercepted: async () => true } as unknown as Hypervisors;
const STARTED_AT = '2026-01-01T00:00:00.000Z';

/** @param holder who has the pair */
function runWith(holder: string | undefined, project: string | null = null) {
  const told: string[] = [];
  const asked: string[] = [];
  const lost = new AbortController();
  const run = {
    migration: { project, startedAt: STARTED_AT, request: { transport: 'tunnel', timeouts: { totalMs: 5_000 } } },
    lost: lost.signal,
    takeHosts: async (pair: string) => {
      asked.push(pair);
      return holder;
    },
    update: async (_: unknown, { message }: { message: string }) => void told.push(message),
    handBack: async ({ need, untilMs }: { need: string; untilMs: number }) => {
      told.push(`handed back for ${need} until ${new Date(untilMs).toISOString()}`);
      lost.abort(new Error('handed back'));
    },
  } as unknown as Run;
  return { run, told, asked };
}

test('a pair that is free is taken, the same one whoever is the source', async () => {
  const [one, other] = [runWith(undefined), runWith(undefined)];
  await takeHosts(one.run, intercepted, report('vc/a', 'vc/b'), { signal });
  await takeHosts(other.run, intercepted, report('vc/b', 'vc/a'), { signal });
  assert.deepEqual([one.asked, one.told], [other.asked, []]);
});

test('one that is taken: the record says by whom, and the migration goes back until its whole time is up', async () => {
  const { run, told } = runWith('m_2');
  await assert.rejects(takeHosts(run, intercepted, report('a', 'b'), { signal }), /handed back/);
  assert.equal(told.length, 2);
  assert.match(told[0] ?? '', /^waits for m_2/);
  assert.equal(told[1], 'handed back for a~b until 2026-01-01T00:00:05.000Z');
});

test('a project is not told of another one’s migration', async () => {
  const { run, told } = runWith('m_2', 'red');
  await assert.rejects(takeHosts(run, intercepted, report('a', 'b'), { signal }), /handed back/);
  assert.match(told[0] ?? '', /^waits for another migration: both need the same two hosts/);
});

test('one that is cancelled in this moment is not handed back', async () => {
  const { run, told } = runWith('m_2');
  await assert.rejects(
    takeHosts(run, intercepted, report('a', 'b'), { signal: AbortSignal.abort(new Error('cancelled')) }),
    /cancelled/,
  );
  assert.equal(told.length, 1);
});

test('nothing is taken without hosts, or where nothing is intercepted', async () => {
  const { run, asked } = runWith(undefined);
  await takeHosts(run, intercepted, { findings: [], memoryBytes: 0, diskBytes: 0 }, { signal });
  const redirected = { canBeIntercepted: async () => false } as unknown as Hypervisors;
  await takeHosts(run, redirected, report('a', 'b'), { signal });
  assert.deepEqual(asked, []);
});
