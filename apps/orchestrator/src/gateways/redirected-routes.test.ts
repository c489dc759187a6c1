import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Flow } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import type { Gateway } from './gateway.ts';
import { openRedirectedRoutes } from './redirected-routes.ts';
import type { GatewaySite, TunnelEnds } from './tunnel.ts';

/** A gateway machine where others listen already. */
function machine(taken: readonly string[]) {
  const routes = new Map<string, string>();
  const gateway = {
    async putRoute(id: string, route: { kind: string; address: string; port: number }) {
      if (route.kind === 'dial') return { id, kind: 'dial', address: '', port: 0 };
      const place = `${route.address}:${route.port === 0 ? 40_000 : route.port}`;
      const before = routes.get(id);
      if (before !== undefined && before !== place) throw new LmasError('GATEWAY_REFUSED', 'ROUTE_CONFLICT');
      if (taken.includes(place)) throw new LmasError('NO_FREE_PORT');
      routes.set(id, place);
      return { id, kind: 'listen', address: route.address, port: Number(place.split(':')[1]) };
    },
    async removeRoute(id: string) {
      routes.delete(id);
    },
  };
  return { gateway: gateway as unknown as Gateway, routes };
}

const flow = (id: string, port: number, addressGroup?: string): Flow => ({
  ...{ id, host: '10.2.0.1', port, maxStreams: 4, priority: 'bulk' as const, addressGroup },
});
const PAIR = [flow('tls', 443, 'host'), flow('plain', 80, 'host')];

function open(source: ReturnType<typeof machine>, flows: readonly Flow[], more: readonly string[] = []) {
  const site = { hypervisorAddress: '10.1.0.1', moreHypervisorAddresses: [...more] } as unknown as GatewaySite;
  const ends = { source: { gateway: source.gateway, site }, destination: { gateway: machine([]).gateway, site } };
  return openRedirectedRoutes(ends as unknown as TunnelEnds, flows, ['10.1.0.5'], AbortSignal.timeout(5_000));
}

test('a flow without a group gets its own port, or any when that is taken', async () => {
  assert.deepEqual(await open(machine([]), [flow('memory', 5_000)]), { memory: { host: '10.1.0.1', port: 5_000 } });
  const busy = machine(['10.1.0.1:5000']);
  assert.deepEqual(await open(busy, [flow('memory', 5_000)]), { memory: { host: '10.1.0.1', port: 40_000 } });
});

test('a group gets the first address that has all of its ports free, and nothing stays open at the others', async () => {
  const source = machine(['10.1.0.1:80']);
  assert.deepEqual(await open(source, PAIR, ['10.1.0.2']), {
    tls: { host: '10.1.0.2', port: 443 },
    plain: { host: '10.1.0.2', port: 80 },
  });
  assert.deepEqual([...source.routes.values()], ['10.1.0.2:443', '10.1.0.2:80']);
});

test('two groups get two addresses', async () => {
  const routes = await open(machine([]), [...PAIR, flow('coordinator', 443, 'coordinator')], ['10.1.0.2']);
  assert.deepEqual([routes.tls?.host, routes.coordinator?.host], ['10.1.0.1', '10.1.0.2']);
});

test('no address left is told with what to do about it', async () => {
  const source = machine(['10.1.0.1:443']);
  await assert.rejects(open(source, PAIR), {
    code: 'NO_FREE_PORT',
    message: /443 and 80 /,
    remedy: /moreHypervisorAddresses/,
  });
  assert.equal(source.routes.size, 0);
});

test('said again, it finds the routes where it left them', async () => {
  const source = machine(['10.1.0.1:443']);
  const first = await open(source, PAIR, ['10.1.0.2']);
  assert.deepEqual(await open(source, PAIR, ['10.1.0.2']), first);
});
