/** A gateway machine whose addresses are taken: the migration hands itself back, and says for whom it waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CheckReport } from '@lmas/plugin-api';
import type { Run } from '../run.ts';
import type { Tools } from '../tools.ts';
import { takeAddresses } from './addresses.ts';

const { signal } = new AbortController();
const report = (gatewayAddresses?: number): CheckReport => ({
  ...{ findings: [], memoryBytes: 0, diskBytes: 0, gatewayAddresses },
});

/** @param more addresses besides the first one */
const toolsWith = (more: readonly string[]) =>
  ({
    sites: { get: async () => ({ gateway: { hypervisorAddress: '10.1.0.1', moreHypervisorAddresses: more } }) },
  }) as unknown as Pick<Tools, 'sites'>;

/** @param holder who has them */
function runWith(holder: string | undefined, { project = null as string | null, transport = 'tunnel' } = {}) {
  const told: string[] = [];
  const asked: unknown[] = [];
  const lost = new AbortController();
  const run = {
    migration: {
      project,
      startedAt: null,
      source: { site: 'lisbon' },
      request: { transport, timeouts: { totalMs: 5_000 } },
    },
    lost: lost.signal,
    takeAddresses: async (wanted: unknown) => {
      asked.push(wanted);
      return holder;
    },
    update: async (_: unknown, { message }: { message: string }) => void told.push(message),
    handBack: async ({ need }: { need: string }) => {
      told.push(`handed back for ${need}`);
      lost.abort(new Error('handed back'));
    },
  } as unknown as Run;
  return { run, told, asked };
}

test('so many as the check has found are taken, of as many as the machine has', async () => {
  const { run, asked } = runWith(undefined);
  await takeAddresses(run, toolsWith(['10.1.0.2', '10.1.0.3']), report(2), { signal });
  assert.deepEqual(asked, [{ count: 2, limit: 3 }]);
});

test('where others have them the record says who, then the migration goes back to the queue', async () => {
  const { run, told } = runWith('m_2');
  await assert.rejects(takeAddresses(run, toolsWith([]), report(1), { signal }), /handed back/);
  assert.deepEqual(told, [
    'waits for m_2: both need addresses of their own at the gateway machine of lisbon, which has 1',
    'handed back for addresses:1',
  ]);
});

test('a site that changes meanwhile is counted again: the count of before must not stand', async () => {
  const { run, asked, told } = runWith('m_2');
  const machines = [['10.1.0.2'], ['10.1.0.2', '10.1.0.3'], []].map((more) => toolsWith(more));
  const changing = {
    sites: { get: (id: string) => (machines.length > 1 ? machines.shift() : machines[0])?.sites.get(id) },
  };
  const tools = changing as unknown as Pick<Tools, 'sites'>;
  await assert.rejects(takeAddresses(run, tools, report(2), { signal }), { code: 'CHECK_FAILED', message: /has 1\.$/ });
  assert.deepEqual(
    asked,
    [2, 3].map((limit) => ({ count: 2, limit })),
  );
  assert.deepEqual(told, []);
});

test('a project is not told of another one’s migration', async () => {
  const { run, told } = runWith('m_2', { project: 'red' });
  await assert.rejects(takeAddresses(run, toolsWith(['10.1.0.2']), report(1), { signal }), /handed back/);
  assert.match(told[0] ?? '', /^waits for another migration: both need addresses .* lisbon, which has 2$/);
});

test('more than there are is no reason to wait', async () => {
  const { run, asked } = runWith(undefined);
  await assert.rejects(takeAddresses(run, toolsWith([]), report(2), { signal }), {
    code: 'CHECK_FAILED',
    remedy: /moreHypervisorAddresses/,
  });
  assert.deepEqual(asked, []);
});

test('what needs none, or is direct, takes none', async () => {
  for (const [found, transport] of [
    [undefined, 'tunnel'],
    [0, 'tunnel'],
    [1, 'direct'],
  ] as const) {
    const { run, asked } = runWith('m_2', { transport });
    await takeAddresses(run, toolsWith([]), report(found), { signal });
    assert.deepEqual(asked, []);
  }
});
