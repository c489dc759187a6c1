// Barriers for real: the same two networks and next hops, real TCP, nftables of this kernel, and a count of what crosses the link between the two
// machines in the hosts' own names. Whatever becomes of the gateways, that is nothing, until the barrier is taken away by its name.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { RouteConfig } from '@lmas/gateway-api';
import { CLEAN_INTERCEPTIONS } from '../../../../orchestrator/src/gateways/remote-scripts.ts';
import type { Asked } from '../../testing/host-process.ts';
import { assertReal, type GatewayProcess, Host, makeGateways, startBoth } from '../../testing/next-hop-machines.ts';
import { addresses, NextHopNetwork } from '../../testing/next-hop-network.ts';

const skip = process.getuid?.() === 0 ? false : 'Namespaces need root.';
const PORT = 8_000;
const OTHER_PORT = 8_001;
const NAME = 'lab-m_1-source';
const FAMILIES = [4, 6] as const;
const { source, destination } = addresses;
const pairs = FAMILIES.map((family) => ({ source: source[family], destination: destination[family] }));
const route = (end: 'intercept' | 'dial'): RouteConfig => ({
  ...{ kind: 'transparent', end, pairs, ports: [PORT], maxStreams: 16, priority: 'bulk', barrier: NAME },
});

let network: NextHopNetwork;
let gateways: readonly [GatewayProcess, GatewayProcess];
let [here, there]: Host[] = [];

/** Packets between the two hosts, to or from the port, that came to a gateway machine over the link from the other one. */
const WATCH = `table inet watch {
  counter crossed { }
  chain prerouting {
    type filter hook prerouting priority raw; policy accept;
    iifname { "gateway-a", "gateway-b" } ip saddr { ${source[4]}, ${destination[4]} } tcp dport ${PORT} counter name crossed
    iifname { "gateway-a", "gateway-b" } ip saddr { ${source[4]}, ${destination[4]} } tcp sport ${PORT} counter name crossed
    iifname { "gateway-a", "gateway-b" } ip6 saddr { ${source[6]}, ${destination[6]} } tcp dport ${PORT} counter name crossed
    iifname { "gateway-a", "gateway-b" } ip6 saddr { ${source[6]}, ${destination[6]} } tcp sport ${PORT} counter name crossed
  }
}`;

const packets = (machine: 'gateway-a' | 'gateway-b', table: string): number => {
  const text = network.run(machine, ['nft', 'list', 'counters', 'table', 'inet', table]);
  return Number(/packets (\d+)/.exec(text)?.[1] ?? Number.NaN);
};
const crossed = (): number => packets('gateway-a', 'watch') + packets('gateway-b', 'watch');
const refused = (machine: 'gateway-a' | 'gateway-b'): number => packets(machine, `lmas_barrier_${NAME}.vmotion`);

const ask = (host: string, port: number): Promise<Asked> =>
  here?.ask(host, port) ?? Promise.reject(new Error('no host'));

/** In both families, at once. */
async function assertRefusedAt(machine: 'gateway-a' | 'gateway-b'): Promise<void> {
  for (const family of FAMILIES) {
    const before = refused(machine);
    assert.equal((await ask(destination[family], PORT)).error, 'ECONNREFUSED');
    assert.equal(refused(machine), before + 1);
  }
}

before(async () => {
  if (skip !== false) return;
  network = NextHopNetwork.create('lmasbar');
  for (const machine of ['gateway-a', 'gateway-b'] as const) network.run(machine, ['nft', WATCH]);
  [here, there] = [new Host(network, 'source'), new Host(network, 'destination')];
  for (const port of [PORT, OTHER_PORT]) await there.do({ op: 'listen', port });
  await here.do({ op: 'listen', port: PORT });
  gateways = makeGateways(network, route);
  await startBoth(gateways);
});

after(async () => {
  if (skip !== false) return;
  for (const gateway of gateways ?? []) await gateway.remove();
  network.close();
});

test('while the gateways carry, a barrier is in nobody’s way', { skip, timeout: 20_000 }, async () => {
  for (const family of FAMILIES) {
    assertReal(await ask(destination[family], PORT), source[family], destination[family], PORT);
    assertReal(await ask(destination[family], OTHER_PORT), source[family], destination[family], OTHER_PORT);
  }
  assert.deepEqual([crossed(), refused('gateway-a'), refused('gateway-b')], [0, 0, 0]);
});

test('the other way round, which no route intercepts, nothing passes either', { skip, timeout: 20_000 }, async () => {
  for (const family of FAMILIES) {
    const asked = await there?.ask(source[family], PORT);
    assert.equal(asked?.error, 'ECONNREFUSED');
  }
  assert.deepEqual([crossed(), refused('gateway-a'), refused('gateway-b')], [0, 0, 2]);
});

test('killed: what was open ends, what is new is refused, other ports are forwarded', {
  skip,
  timeout: 20_000,
}, async () => {
  await here?.do({ op: 'hold', host: destination[4], port: PORT });
  await gateways[0].end('SIGKILL');
  assert.notEqual((await here?.do<Asked>({ op: 'say', bytes: 100_000 }))?.error, null);
  await assertRefusedAt('gateway-a');
  assertReal(await ask(destination[4], OTHER_PORT), source[4], destination[4], OTHER_PORT);
  assert.equal(crossed(), 0);
});

test('neither sweep takes it for what a killed gateway left; the next start carries again', {
  skip,
  timeout: 30_000,
}, async () => {
  network.run('gateway-a', ['sh', '-c', CLEAN_INTERCEPTIONS]);
  assert.equal(gateways[0].run('clean'), '');
  assert.equal(
    gateways[0]
      .tables()
      .match(/lmas_\S*/g)
      ?.join(),
    `lmas_barrier_${NAME}.vmotion`,
  );
  await gateways[1].end('SIGTERM');
  await startBoth(gateways);
  assertReal(await ask(destination[6], PORT), source[6], destination[6], PORT);
  assert.equal(crossed(), 0);
});

test('the far gateway is gone for longer than the grace time: refused, not forwarded', {
  skip,
  timeout: 20_000,
}, async () => {
  await gateways[1].end('SIGKILL');
  const end = performance.now() + 10_000;
  while ((await gateways[0].intercepts()) === true) {
    assert.ok(performance.now() < end, 'still intercepting');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await assertRefusedAt('gateway-a');
  assert.equal(crossed(), 0);
});

test('an end in order leaves it standing, and the doctor tells of it', { skip, timeout: 20_000 }, async () => {
  assert.equal(await gateways[0].end('SIGTERM'), 0);
  await assertRefusedAt('gateway-a');
  assert.equal(crossed(), 0);
  assert.match(
    gateways[0].run('doctor', '--mode', 'transparent'),
    /barriers +lab-m_1-source \(vmotion, \d+ packets refused\)/,
  );
});

test('one gateway machine forgets everything: the other’s barrier lets no connection come about', {
  skip,
  timeout: 20_000,
}, async () => {
  assert.equal(gateways[0].run('clean', '--barrier', NAME), `removed table inet lmas_barrier_${NAME}.vmotion\n`);
  assert.equal(gateways[0].run('clean', '--barrier', NAME), '');
  await assertRefusedAt('gateway-b');
});

test('taken away by name at both, all is forwarded', { skip, timeout: 20_000 }, async () => {
  gateways[1].run('clean');
  gateways[1].run('clean', '--barrier', NAME);
  assert.deepEqual(
    [gateways[0], gateways[1]].map((gateway) => gateway.tables().includes('lmas')),
    [false, false],
  );
  for (const family of FAMILIES) {
    assertReal(await ask(destination[family], PORT), source[family], destination[family], PORT);
    assert.equal((await there?.ask(source[family], PORT))?.error, null);
  }
  assert.ok(crossed() > 0, 'what crosses is counted');
});
