/**
 * Two migrations that need one route: a real orchestrator with its Redis counts who holds it, the plugin sets it at hosts of the lab's vCenters and
 * takes it away. The gateways exist in a simulated world only; the hosts reach each other on loopback once their routes let them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { alpha, beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { type Api, temporaryDirectory } from '../workflow/harness.ts';
import { orchestrate, untilHeld } from './orchestrated.ts';
import { GATEWAYS } from './rehearsal.ts';
import { routesAt } from './seen-routes.ts';

/** One VM at each host of the source, all of their disks on storage that both see. */
function twoHosts() {
  const { hosts, ...spec } = alpha([]);
  const onShared = (name: string) => vmSpec(name, { disks: [{ sizeBytes: 1024 ** 2, datastore: 'shared' }] });
  return { ...spec, hosts: hosts.map((host, i) => ({ ...host, vms: [onShared(i === 0 ? 'shop' : 'stock')] })) };
}

/** The same vCenter under another name, where routes are wanted as narrow as can be. */
async function alsoAs(api: Api, id: string): Promise<string> {
  const { site, plugin, credential, config } = await api.must<{ config: object; [key: string]: unknown }>(
    'GET',
    `/v1/endpoints/${id}`,
  );
  const { routePrefixLength: _, ...narrow } = config as { routePrefixLength?: number };
  await api.must('POST', '/v1/endpoints', { id: `${id}-narrow`, site, plugin, credential, config: narrow });
  return `${id}-narrow`;
}

for (const { how, isNarrow } of [
  { how: 'as one that both want', isNarrow: false },
  { how: 'wider than the second one would set its own', isNarrow: true },
]) {
  test(`a route that two migrations share is set once, stays when the first is gone, and goes with the last (${how})`, async () => {
    await using directory = await temporaryDirectory();
    await using source = await LocalVcenter.start(twoHosts());
    await using destination = await LocalVcenter.start(beta());
    const vcenters = { a: source, b: destination };
    const patience = { LMAS_TEARDOWN_MS: '20000' };
    await using stand = await orchestrate(directory.path, vcenters, { routePrefixLength: 24 }, patience);
    const { api } = stand;

    const routes = () => ({
      a1: routesAt(source, 'esx-a1'),
      a2: routesAt(source, 'esx-a2'),
      b1: routesAt(destination, 'esx-b1'),
    });
    const there = [`127.1.2.0/24 via ${GATEWAYS.source}`];
    const back = [`127.1.1.0/24 via ${GATEWAYS.destination}`];
    const changes = () => destination.endpoint.calls.filter((call) => call === 'UpdateNetworkConfig').length;
    const ends = { source: 'vc-a', destination: 'vc-b' };
    const otherEnds = isNarrow ? { source: await alsoAs(api, 'vc-a'), destination: await alsoAs(api, 'vc-b') } : ends;
    const submit = (vm: string, between = ends) => api.must<Migration>('POST', '/v1/migrations', { vm, ...between });

    const half = source.endpoint.gates.hold('half');
    const first = await submit('shop');
    await untilHeld(api, first.id, half, 30_000);
    const second = await submit('stock', otherEnds);
    const deadline = performance.now() + 30_000;
    while (source.endpoint.moves.length < 2) {
      assert.ok(
        performance.now() < deadline,
        JSON.stringify([await api.migration(first.id), await api.migration(second.id)]),
      );
      await delay(20);
    }
    const itsOwn = isNarrow ? [`127.1.2.11/32 via ${GATEWAYS.source}`] : there;
    assert.deepEqual(routes(), { a1: there, a2: itsOwn, b1: back });
    assert.equal(changes(), 1, 'the second one found it, and joined');

    await api.must('POST', `/v1/migrations/${first.id}/cancel`);
    const cancelled = await api.ended(first.id);
    assert.deepEqual([cancelled.phase, cancelled.teardown], ['cancelled', 'complete'], JSON.stringify(cancelled.error));
    assert.deepEqual(routes(), { a1: [], a2: itsOwn, b1: back });

    source.endpoint.gates.release('half');
    const moved = await api.ended(second.id);
    assert.deepEqual([moved.phase, moved.teardown], ['succeeded', 'complete'], JSON.stringify(moved.error));
    assert.deepEqual(routes(), { a1: [], a2: [], b1: [] });
    assert.equal(changes(), 2);
    assert.deepEqual([...source.endpoint.violations, ...destination.endpoint.violations], []);
  });
}
