/** Where a host receives, by what its interfaces say: IPv4, or the first IPv6 address that leads beyond its link. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import { driverOf } from './driving.ts';

const signal = AbortSignal.timeout(60_000);

test('a host whose interface goes by IPv6 receives there, at the first address that leads beyond its link', async () => {
  await using world = await XenWorld.make();
  const { database } = world.destination;
  const setAll = (fields: Record<string, string | string[]>): void => {
    for (const ref of database.table('PIF').keys()) database.update('PIF', ref, fields);
  };
  const blockers = async () => {
    const { findings } = await (await driverOf(world, { tunnelled: true })).check({ signal });
    return findings.flatMap(({ severity, code }) => (severity === 'blocker' ? [code] : []));
  };
  setAll({ IP: '', IPv6: ['fe80::1/64', 'FD00:0:0::21/64', 'fd00::22/64'], primary_address_type: 'IPv6' });
  assert.deepEqual(await blockers(), []);
  const { flows } = await (await driverOf(world, { tunnelled: true })).prepare({ signal });
  assert.deepEqual(new Set(flows.map(({ host }) => host)), new Set(['fd00::21']));
  setAll({ IPv6: ['fe80::1/64'] });
  assert.deepEqual(await blockers(), ['NO_MIGRATION_ADDRESS']);
});
