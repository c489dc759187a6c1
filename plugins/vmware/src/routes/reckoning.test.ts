import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetStack, Vnic } from '../records.ts';
import {
  addressesOf,
  contains,
  type KernelAddress,
  networkOf,
  nextHop,
  prefixOfMask,
  routesOf,
  sameAddress,
} from './reckoning.ts';

const vmk1: KernelAddress = {
  device: 'vmk1',
  address: '10.1.0.10',
  prefixLength: 24,
  stack: 'vmotion',
  mtu: 9000,
  gateway: {},
};
const stack = (
  routes: readonly [network: string, prefixLength: number, gateway: string][],
  defaultGateway?: string,
): NetStack => ({
  key: 'vmotion',
  ipRouteConfig: defaultGateway === undefined ? undefined : { defaultGateway },
  routeTableConfig: {
    ipRoute: routes.map(([network, prefixLength, gateway]) => ({ route: { network, prefixLength, gateway } })),
    ipv6Route: [],
  },
});

test('what is in the adapter’s own network passes no gateway, whatever the routes say', () => {
  assert.deepEqual(nextHop(vmk1, stack([['10.1.0.0', 16, '10.1.0.1']], '10.1.0.2'), '10.1.0.77'), { kind: 'link' });
});

test('the longest prefix decides; without a route the default gateway; without that there is no way', () => {
  const routes = stack(
    [
      ['10.0.0.0', 8, '10.1.0.1'],
      ['10.2.0.10', 32, '10.1.0.5'],
      ['10.2.0.0', 24, '10.1.0.3'],
    ],
    '10.1.0.9',
  );
  const hop = (peer: string) => nextHop(vmk1, routes, peer);
  assert.deepEqual(hop('10.2.0.10'), {
    kind: 'route',
    gateway: '10.1.0.5',
    route: { network: '10.2.0.10', prefixLength: 32, gateway: '10.1.0.5' },
  });
  assert.equal((hop('10.2.0.11') as { gateway: string }).gateway, '10.1.0.3');
  assert.equal((hop('10.9.9.9') as { gateway: string }).gateway, '10.1.0.1');
  assert.deepEqual(hop('192.0.2.1'), { kind: 'default', gateway: '10.1.0.9' });
  assert.deepEqual(nextHop(vmk1, stack([]), '10.2.0.10'), { kind: 'none' });
  assert.deepEqual(nextHop(vmk1, undefined, '10.2.0.10'), { kind: 'none' });
});

test('an adapter’s own default gateway comes before the stack’s; a route before both', () => {
  const own = { ...vmk1, gateway: { ipv4: '10.1.0.200' } };
  assert.deepEqual(nextHop(own, stack([], '10.1.0.9'), '192.0.2.1'), { kind: 'default', gateway: '10.1.0.200' });
  assert.equal(nextHop(own, stack([['192.0.2.0', 24, '10.1.0.5']], '10.1.0.9'), '192.0.2.1').kind, 'route');
});

test('routes on the link and the default route are no static routes to a gateway', () => {
  const seen = routesOf(
    stack([
      ['10.1.0.0', 24, '0.0.0.0'],
      ['0.0.0.0', 0, '10.1.0.9'],
      ['10.2.0.0', 16, '10.1.0.5'],
    ]),
  );
  assert.deepEqual(seen, [{ network: '10.2.0.0', prefixLength: 16, gateway: '10.1.0.5' }]);
});

test('addresses of an adapter: both families, link-local left out, “none” in each of its forms', () => {
  const vnic: Vnic = {
    device: 'vmk2',
    spec: {
      ip: {
        ipAddress: '10.1.0.10',
        subnetMask: '255.255.254.0',
        ipV6Config: {
          ipV6Address: [
            { ipAddress: 'fe80::1', prefixLength: 64 },
            { ipAddress: '2001:db8::10', prefixLength: 64 },
          ],
        },
      },
      netStackInstanceKey: 'vmotion',
      ipRouteSpec: { ipRouteConfig: { defaultGateway: '0.0.0.0', ipV6DefaultGateway: '2001:db8::1' } },
    },
  };
  assert.deepEqual(
    addressesOf(vnic).map(({ address, prefixLength, mtu, gateway }) => [address, prefixLength, mtu, gateway]),
    [
      ['10.1.0.10', 23, 1500, { ipv6: '2001:db8::1' }],
      ['2001:db8::10', 64, 1500, { ipv6: '2001:db8::1' }],
    ],
  );
  assert.deepEqual(addressesOf({ device: 'vmk3', spec: {} }), []);
});

for (const [address, prefixLength, network] of [
  ['10.2.3.77', 32, '10.2.3.77'],
  ['10.2.3.77', 24, '10.2.3.0'],
  ['10.2.3.77', 9, '10.0.0.0'],
  ['255.255.255.255', 8, '255.0.0.0'],
  ['2001:db8::a:77', 128, '2001:db8::a:77'],
  ['2001:db8:1:2:3:4:5:6', 64, '2001:db8:1:2::'],
  ['2001:db8:ff:2::1', 40, '2001:db8::'],
] as const) {
  test(`${address}/${prefixLength} is in ${network}`, () => {
    assert.equal(networkOf(address, prefixLength), network);
    assert.ok(contains({ network, prefixLength }, address));
  });
}

test('masks, and two ways to write one address', () => {
  assert.deepEqual(['255.255.255.255', '255.255.255.0', '255.128.0.0', '0.0.0.0'].map(prefixOfMask), [32, 24, 9, 0]);
  assert.ok(sameAddress('2001:db8::1', '2001:0db8:0:0::0001'));
  assert.ok(!sameAddress('10.0.0.1', '10.0.0.2'));
  assert.ok(!sameAddress('10.0.0.1', '2001:db8::1'));
});
