/** Which endpoints are asked for a plan. From a played installation. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError } from '@lmas/plugin-api';
import { planBodySchema } from '../schemas/plan.ts';
import { ask, survey } from './survey.ts';

const at = { plugin: 'kvm', credential: 'c', config: {}, createdAt: '2026-01-01T00:00:00.000Z', cordonedAt: null };
const ENDPOINTS = ['a1', 'a2', 'b1', 'b2', 'c1'].map((id) => ({ ...at, id, site: id.slice(0, 1) }));

async function askedFor(vms: object[], more: object): Promise<string[]> {
  const asked: string[] = [];
  const { inventories } = await survey(
    planBodySchema.parse({ waves: [{ vms }], ...more }),
    {
      endpoints: { list: async () => ENDPOINTS },
      sites: { list: async () => [] },
      questions: {
        async lend(id) {
          asked.push(id);
          throw new Error('nobody is there');
        },
      },
    },
    { signal: AbortSignal.timeout(10_000) },
  );
  assert.deepEqual([...inventories.keys()], asked);
  return asked.sort();
}

test('a host that cannot be asked is named once, by whoever tells of it', async () => {
  const says = async (message: string) => {
    const lend = () => Promise.reject(new PluginError('UNREACHABLE', message));
    return await ask({ lend }, 'a1', AbortSignal.timeout(10_000));
  };
  assert.deepEqual(await says('a1: a1 hung up.'), { unanswered: 'a1 hung up' });
  assert.deepEqual(await says('nobody is there'), { unanswered: 'nobody is there' });
});

test('where VMs that are off move, the neighbours of each source are asked as well', async () => {
  const to = { destination: { endpoint: 'b1' } };
  const host = { kind: 'host', source: 'a1', ...to };
  const named = { kind: 'vm', vm: 'web', source: { endpoint: 'a1' }, ...to };
  for (const selector of [host, named]) {
    assert.deepEqual(await askedFor([selector], {}), ['a1', 'b1']);
    assert.deepEqual(await askedFor([selector], { poweredOff: 'move' }), ['a1', 'a2', 'b1']);
  }
  assert.deepEqual(await askedFor([{ ...host, source: 'gone' }], { poweredOff: 'move' }), ['b1']);
});
