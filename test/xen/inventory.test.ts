/**
 * The inventory follows the pool: after the first look only changes are fetched, and none is missed, also where the pool has forgotten
 * what it told, the session was lost, or another member is coordinator. What others change is seen: the npm client `xen-api` does.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import type { EndpointSession } from '@lmas/plugin-api';
import { createClient } from 'xen-api';
import { PASSWORD, XenWorld } from '../compliance/xen-world.ts';
import { emptyVm, removeVm } from '../lab/xapi/model.ts';
import type { XapiPool } from '../lab/xapi/pool.ts';

const signal = AbortSignal.timeout(60_000);

describe('inventory of a pool', () => {
  let world: XenWorld;
  let pool: XapiPool;
  let session: EndpointSession;
  before(async () => {
    world = await XenWorld.make();
    pool = world.source;
  });
  after(() => world[Symbol.asyncDispose]());
  beforeEach(async () => {
    session = await world.session(pool);
    await names();
    pool.calls.length = 0;
  });
  afterEach(() => session.close());

  const names = async (): Promise<string[]> => (await session.inventory({ signal })).vms.map(({ name }) => name).sort();
  const vmRef = (): string => pool.database.byUuid('VM', world.vm.id) ?? '';
  const small = { memory_static_max: 1, memory_dynamic_min: 1, memory_dynamic_max: 1 };
  const fetches = (): unknown[] => pool.calls.filter((method) => method !== 'event.from');
  /** Tokens of the questions: an empty one asks for everything. */
  const token = (): unknown => pool.lastParams('event.from')[1];

  test('what is added, changed and removed is seen, and nothing else is fetched', async () => {
    const ref = pool.database.add('VM', emptyVm({ uuid: 'new', name_label: 'new', ...small }));
    assert.deepEqual(await names(), ['new', 'shop']);
    pool.database.update('VM', ref, { name_label: 'renamed' });
    assert.deepEqual(await names(), ['renamed', 'shop']);
    removeVm(pool.database, ref);
    assert.deepEqual(await names(), ['shop']);
    assert.equal((await session.findVm('shop', { signal })).id, world.vm.id);
    assert.deepEqual(fetches(), []);
    assert.notEqual(token(), '');
  });

  test('numbers of the hosts are those of now', async () => {
    const [metrics = ''] = pool.database.table('host_metrics').keys();
    const before = (await session.inventory({ signal })).host.memoryFreeBytes;
    const { memory_free: free } = pool.database.need('host_metrics', metrics);
    pool.database.update('host_metrics', metrics, { memory_free: Number(free) - 1_000 });
    assert.equal((await session.inventory({ signal })).host.memoryFreeBytes, before - 1_000);
    pool.database.update('host_metrics', metrics, { memory_free: free ?? 0 });
  });

  const losses: readonly (readonly [what: string, lose: () => void])[] = [
    [
      'the pool has forgotten what its token stands for',
      () => {
        pool.faults.refuse = { method: 'event.from', code: 'EVENTS_LOST' };
      },
    ],
    [
      'it cannot read its token any more',
      () => {
        pool.faults.refuse = { method: 'event.from', code: 'EVENT_FROM_TOKEN_PARSE_FAILURE' };
      },
    ],
    ['it has dropped events without a word, and the counts say so', () => pool.database.forgetChanges()],
    ['the session was lost', () => pool.sessions.endAll()],
    ['its tool stack was restarted', () => pool.restartToolStack('go-on')],
    ['another member is coordinator', () => pool.setCoordinator(1)],
  ];
  for (const [what, lose] of losses) {
    test(`${what}: everything is fetched anew`, async () => {
      const ref = pool.database.add('VM', emptyVm({ uuid: 'new', name_label: 'new', ...small }));
      lose();
      assert.deepEqual(await names(), ['new', 'shop']);
      assert.equal(token(), '');
      removeVm(pool.database, ref);
      assert.deepEqual(await names(), ['shop'], 'and followed from there');
      assert.notEqual(token(), '');
      pool.setCoordinator(0);
    });
  }

  test('one that gives up takes nothing from the next', async () => {
    await assert.rejects(session.inventory({ signal: AbortSignal.abort(new Error('enough')) }));
    assert.deepEqual(await names(), ['shop']);
  });

  test('what the independent client changes is seen', async () => {
    const url = `https://${pool.spec.members[0]?.management}`;
    const xapi = createClient({
      ...{ url, allowUnauthorized: true, auth: { user: 'root', password: PASSWORD }, watchEvents: false },
    });
    await xapi.connect();
    try {
      await xapi.call('VM.set_name_label', vmRef(), 'renamed by another');
      assert.deepEqual(await names(), ['renamed by another']);
    } finally {
      await xapi.call('VM.set_name_label', vmRef(), 'shop');
      await xapi.disconnect();
    }
  });
});
