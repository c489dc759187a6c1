// Transparent mode for real: two networks, two next-hop machines with a gateway process each, real TCP on port 8000, nftables and policy routing of
// this kernel. What is intercepted shows both ends the other's own address; everything else, and everything once a gateway is gone, is forwarded.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { RouteConfig } from '@lmas/gateway-api';
import { CLEAN_INTERCEPTIONS } from '../../../../orchestrator/src/gateways/remote-scripts.ts';
import type { Asked } from '../../testing/host-process.ts';
import { assertReal, type GatewayProcess, Host, makeGateways, startBoth } from '../../testing/next-hop-machines.ts';
import { addresses, NextHopNetwork } from '../../testing/next-hop-network.ts';
import { until } from '../../testing/support.ts';

const skip = process.getuid?.() === 0 ? false : 'Namespaces need root.';
const PORT = 8_000;
const OTHER_PORT = 8_001;

const { source, bystander, destination } = addresses;
const pairs = ([4, 6] as const).map((family) => ({ source: source[family], destination: destination[family] }));
const route = (end: 'intercept' | 'dial'): RouteConfig => ({
  ...{ kind: 'transparent', end, pairs, ports: [PORT], maxStreams: 16, priority: 'bulk' },
});

let network: NextHopNetwork;
let [a, b]: GatewayProcess[] = [];
let [here, there]: Host[] = [];

async function startPair(): Promise<void> {
  assert.ok(a !== undefined && b !== undefined);
  await startBoth([a, b]);
}

/** How many connections have come through the tunnel so far, open or over. */
const tunnelled = () => streamsOf(a);

async function streamsOf(gateway: GatewayProcess | undefined): Promise<number> {
  const status = await gateway?.status();
  return (status?.streams.length ?? 0) + (status?.closedStreams.length ?? 0);
}

const ask: Host['ask'] = (...asked) => here?.ask(...asked) ?? Promise.reject(new Error('no host'));

before(() => {
  if (skip !== false) return;
  network = NextHopNetwork.create('lmastp');
  [here, there] = [new Host(network, 'source'), new Host(network, 'destination')];
  [a, b] = makeGateways(network, route);
});

after(async () => {
  if (skip !== false) return;
  for (const gateway of [a, b]) await gateway?.remove();
  network.close();
});

test('a connection from before the gateways lives on, forwarded', { skip, timeout: 40_000 }, async () => {
  await there?.do({ op: 'listen', port: PORT });
  await there?.do({ op: 'listen', port: OTHER_PORT });
  await here?.do({ op: 'hold', host: destination[4], port: PORT });
  await startPair();
  const asked = await here?.do<Asked>({ op: 'say', bytes: 100_000 });
  assert.ok(asked !== undefined);
  assertReal(asked, source[4], destination[4], PORT);
  assert.equal(await tunnelled(), 0);
});

for (const family of [4, 6] as const) {
  test(`IPv${family}: intercepted, and both ends see the other's own address and port`, {
    skip,
    timeout: 15_000,
  }, async () => {
    const before = await tunnelled();
    assertReal(await ask(destination[family], PORT), source[family], destination[family], PORT);
    assert.equal(await tunnelled(), before + 1);
  });

  test(`IPv${family}: other ports and other hosts are forwarded as if there were no gateway`, {
    skip,
    timeout: 15_000,
  }, async () => {
    const before = await tunnelled();
    assertReal(await ask(destination[family], OTHER_PORT), source[family], destination[family], OTHER_PORT);
    const other = await ask(destination[family], PORT, { from: bystander[family] });
    assertReal(other, bystander[family], destination[family], PORT);
    assert.equal(await tunnelled(), before);
  });

  test(`IPv${family}: half-close in both orders, and resets, go through exactly`, {
    skip,
    timeout: 15_000,
  }, async () => {
    const before = await tunnelled();
    const serverFirst = await ask(destination[family], PORT, { letter: 'S', bytes: 50_000 });
    assert.equal(serverFirst.error, null);
    assert.equal(serverFirst.answer?.bytes, 1, 'the server had ended before the rest came');
    assert.equal((await ask(destination[family], PORT, { letter: 'R', bytes: 10 })).error, 'ECONNRESET');
    await here?.do({ op: 'reset', host: destination[family], port: PORT });
    const expected = ['S end 50001', 'W ECONNRESET'];
    let endings: string[] = [];
    for (let tries = 0; tries < 100 && endings.length < (family === 4 ? 2 : 4); tries += 1) {
      endings = (await there?.do<string[]>({ op: 'endings' })) ?? [];
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(endings.slice(family === 4 ? 0 : 2), expected);
    assert.equal(await tunnelled(), before + 3);
  });
}

test('the same port again at once: what the kernel remembers of the connection before is not in the way', {
  skip,
  timeout: 15_000,
}, async () => {
  const before = await tunnelled();
  // The server ends first, so that the gateway beside the source keeps its connection in TIME_WAIT.
  for (let times = 0; times < 5; times += 1) {
    const asked = await ask(destination[4], PORT, { letter: 'S', bytes: 10, from: source[4], fromPort: 40_000 });
    assert.deepEqual([asked.error, asked.answer?.remote], [null, `${source[4]} 40000`]);
    // While the far end of the connection before is still there, its port is taken, and another one of the same address serves.
    while ((await b?.status())?.streams.length !== 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(await tunnelled(), before + 5);
});

test('a second gateway for the same two hosts is refused, and the first one goes on', {
  skip,
  timeout: 15_000,
}, async () => {
  const [rival, unused] = makeGateways(network, route);
  try {
    rival.start();
    await until(() => rival.child?.exitCode !== null, 'it has given up');
    assert.equal(rival.child?.exitCode, 1);
    assert.equal(a?.tables().split('\n').length, 1);
    assertReal(await ask(destination[4], PORT), source[4], destination[4], PORT);
  } finally {
    for (const gateway of [rival, unused]) await gateway.remove();
  }
});

test('killed: its rules are still there, and traffic is forwarded at once', { skip, timeout: 15_000 }, async () => {
  const carried = await streamsOf(b);
  await a?.end('SIGKILL');
  assert.match(a?.tables() ?? '', /^table inet lmas_\d+_\d+_\d+$/);
  for (const family of [4, 6] as const) {
    const beganAt = performance.now();
    assertReal(await ask(destination[family], PORT), source[family], destination[family], PORT);
    // A lost first packet would be sent again after a second.
    assert.ok(performance.now() - beganAt < 900, 'nothing was lost');
  }
  assert.equal(await streamsOf(b), carried);
});

test('the next start removes what the killed one left, and intercepts again', { skip, timeout: 30_000 }, async () => {
  const left = a?.tables();
  await b?.end('SIGTERM');
  await startPair();
  assert.notEqual(a?.tables(), left);
  assert.equal(a?.tables().split('\n').length, 1);
  const before = await tunnelled();
  assertReal(await ask(destination[6], PORT), source[6], destination[6], PORT);
  assert.equal(await tunnelled(), before + 1);
});

test('the far gateway gone for longer than the grace time: forwarded', { skip, timeout: 15_000 }, async () => {
  await b?.end('SIGKILL');
  const end = performance.now() + 10_000;
  while ((await a?.intercepts()) === true) {
    assert.ok(performance.now() < end, 'still intercepting');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assertReal(await ask(destination[4], PORT), source[4], destination[4], PORT);
});

test('an end in order leaves nothing, and the orchestrator removes what a kill left, but never what lives', {
  skip,
  timeout: 20_000,
}, async () => {
  const sweep = () => network.run('gateway-b', ['sh', '-c', CLEAN_INTERCEPTIONS]).trim();
  assert.equal(await a?.end('SIGTERM'), 0);
  assert.deepEqual([a?.tables(), a?.rules()], ['', '']);
  const dead = (b?.tables() ?? '').replace('table inet ', '');
  b?.start();
  while ((await b?.status())?.routes.length !== 1) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(!b?.tables().includes(dead));
  assert.equal(sweep(), '');
  const living = (b?.tables() ?? '').replace('table inet ', '');
  await b?.end('SIGKILL');
  assert.equal(sweep(), living);
  assert.deepEqual([b?.tables(), b?.rules()], ['', '']);
});
