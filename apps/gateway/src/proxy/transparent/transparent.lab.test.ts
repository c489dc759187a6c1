// Transparent mode for real: two networks, two next-hop machines with a gateway process each, real TCP on port 8000, nftables and policy routing of
// this kernel. What is intercepted shows both ends the other's own address; everything else, and everything once a gateway is gone, is forwarded.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { GatewayStatus, RouteConfig } from '@lmas/gateway-api';
import { CLEAN_INTERCEPTIONS } from '../../../../orchestrator/src/gateways/remote-scripts.ts';
import { makeIdentity } from '../../security/certificate.ts';
import type { Asked, Command } from '../../testing/host-process.ts';
import { addresses, type Machine, NextHopNetwork } from '../../testing/next-hop-network.ts';
import { until } from '../../testing/support.ts';

const PROGRAM = path.join(import.meta.dirname, '../../main.ts');
const HOST = path.join(import.meta.dirname, '../../testing/host-process.ts');
const skip = process.getuid?.() === 0 ? false : 'Namespaces need root.';
const PORT = 8_000;
const OTHER_PORT = 8_001;

class Host {
  readonly #child: ChildProcess;
  #next = 0;

  constructor(network: NextHopNetwork, machine: Machine) {
    this.#child = network.start(machine, [process.execPath, HOST], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  }
  do<T>(command: Command): Promise<T> {
    this.#next += 1;
    const id = this.#next;
    return new Promise((resolve) => {
      const heard = (message: unknown) => {
        const answer = message as { id: number; result: T };
        if (answer.id !== id) return;
        this.#child.off('message', heard);
        resolve(answer.result);
      };
      this.#child.on('message', heard);
      this.#child.send({ id, command });
    });
  }
}

/** One gateway of the pair in static mode, in its machine. */
class GatewayProcess {
  readonly directory: string;
  readonly #network: NextHopNetwork;
  readonly #machine: Machine;
  child: ChildProcess | null = null;

  constructor(network: NextHopNetwork, machine: Machine, config: object, files: Record<string, string>) {
    this.directory = mkdtempSync(path.join(tmpdir(), 'lmas-transparent-'));
    this.#network = network;
    this.#machine = machine;
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(this.directory, name), text);
    chmodSync(path.join(this.directory, 'key.pem'), 0o600);
    mkdirSync(path.join(this.directory, 'run'));
    writeFileSync(path.join(this.directory, 'gateway.json'), JSON.stringify(config));
  }
  start(): void {
    const args = [
      process.execPath,
      PROGRAM,
      '--config',
      path.join(this.directory, 'gateway.json'),
      '--log-level',
      'warn',
    ];
    this.child = this.#network.start(this.#machine, args, { stdio: ['ignore', 'ignore', 'ignore'] });
  }
  async end(signal: NodeJS.Signals): Promise<number | null> {
    const { child } = this;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return null;
    const gone = once(child, 'exit');
    child.kill(signal);
    const [code] = (await gone) as [number | null];
    return code;
  }
  /** Null while it does not answer. */
  status(): Promise<GatewayStatus | null> {
    const socketPath = path.join(this.directory, 'run/control.sock');
    return new Promise((resolve) => {
      const request = http.get({ socketPath, path: '/v1/status', agent: false }, (response) => {
        let text = '';
        response.on('data', (chunk) => {
          text += String(chunk);
        });
        response.on('end', () => resolve(JSON.parse(text) as GatewayStatus));
      });
      request.once('error', () => resolve(null));
    });
  }
  tables(): string {
    return this.#network.run(this.#machine, ['nft', 'list', 'tables']).trim();
  }
  rules(): string {
    const both = ['-4', '-6'].map((family) => this.#network.run(this.#machine, ['ip', family, 'rule', 'list']));
    return both
      .join('')
      .split('\n')
      .filter((line) => line.includes('fwmark'))
      .join('\n');
  }
}

const { source, bystander, destination, tunnel } = addresses;
const pairs = ([4, 6] as const).map((family) => ({ source: source[family], destination: destination[family] }));
const route = (end: 'intercept' | 'dial'): RouteConfig => ({
  ...{ kind: 'transparent', end, pairs, ports: [PORT], maxStreams: 16, priority: 'bulk' },
});

let network: NextHopNetwork;
let [a, b]: GatewayProcess[] = [];
let [here, there]: Host[] = [];

function makeGateways(): [GatewayProcess, GatewayProcess] {
  const [ours, theirs] = [makeIdentity(1), makeIdentity(1)];
  const config = (role: object, end: 'intercept' | 'dial') => ({
    ...{ certificateFile: 'certificate.pem', keyFile: 'key.pem', peerCertificateFile: 'peer.pem' },
    ...{ controlSocket: 'run/control.sock', routes: { vmotion: route(end) } },
    session: { sessionId: '7b1c5c0e-5f0e-4f63-9d3a-2f5d3c1a9e10', role, graceMs: 1_000 },
  });
  const files = (own: typeof ours, peer: typeof ours) => ({
    ...{ 'certificate.pem': own.certificatePem, 'key.pem': own.keyPem, 'peer.pem': peer.certificatePem },
  });
  const dial = config({ kind: 'dial', host: tunnel.b, port: 7_400 }, 'intercept');
  const listen = config({ kind: 'listen', address: tunnel.b, port: 7_400 }, 'dial');
  return [
    new GatewayProcess(network, 'gateway-a', dial, files(ours, theirs)),
    new GatewayProcess(network, 'gateway-b', listen, files(theirs, ours)),
  ];
}

async function startBoth(): Promise<void> {
  for (const gateway of [b, a]) gateway?.start();
  for (const gateway of [b, a]) {
    const end = performance.now() + 15_000;
    for (;;) {
      const status = await gateway?.status();
      const [state] = status?.routes ?? [];
      if (state?.kind === 'transparent' && state.active) break;
      assert.ok(performance.now() < end, 'the session did not come up');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** How many connections have come through the tunnel so far, open or over. */
const tunnelled = () => streamsOf(a);

async function streamsOf(gateway: GatewayProcess | undefined): Promise<number> {
  const status = await gateway?.status();
  return (status?.streams.length ?? 0) + (status?.closedStreams.length ?? 0);
}

const ask = (
  host: string,
  port: number,
  more: { from?: string; fromPort?: number; letter?: 'E' | 'S' | 'R'; bytes?: number } = {},
) =>
  here?.do<Asked>({ op: 'ask', host, port, letter: 'E', bytes: 1_000_000, ...more }) ??
  Promise.reject(new Error('no host'));

/** Both ends saw the other's own address, and the very bytes. */
function assertReal(asked: Asked, from: string, host: string, port: number): void {
  assert.equal(asked.error, null);
  assert.deepEqual(asked.answer, { ...asked.answer, remote: asked.local, local: `${host} ${port}`, sha1: asked.sha1 });
  assert.equal(asked.local.split(' ')[0], from);
}

before(() => {
  if (skip !== false) return;
  network = NextHopNetwork.create('lmastp');
  [here, there] = [new Host(network, 'source'), new Host(network, 'destination')];
  [a, b] = makeGateways();
});

after(async () => {
  if (skip !== false) return;
  for (const gateway of [a, b]) {
    await gateway?.end('SIGKILL');
    if (gateway !== undefined) rmSync(gateway.directory, { recursive: true, force: true });
  }
  network.close();
});

test('a connection from before the gateways lives on, forwarded', { skip, timeout: 40_000 }, async () => {
  await there?.do({ op: 'listen', port: PORT });
  await there?.do({ op: 'listen', port: OTHER_PORT });
  await here?.do({ op: 'hold', host: destination[4], port: PORT });
  await startBoth();
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
  const [rival, unused] = makeGateways();
  try {
    rival.start();
    await until(() => rival.child?.exitCode !== null, 'it has given up');
    assert.equal(rival.child?.exitCode, 1);
    assert.equal(a?.tables().split('\n').length, 1);
    assertReal(await ask(destination[4], PORT), source[4], destination[4], PORT);
  } finally {
    await rival.end('SIGKILL');
    for (const { directory } of [rival, unused]) rmSync(directory, { recursive: true, force: true });
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
  await startBoth();
  assert.notEqual(a?.tables(), left);
  assert.equal(a?.tables().split('\n').length, 1);
  const before = await tunnelled();
  assertReal(await ask(destination[6], PORT), source[6], destination[6], PORT);
  assert.equal(await tunnelled(), before + 1);
});

test('the far gateway gone for longer than the grace time: forwarded', { skip, timeout: 15_000 }, async () => {
  await b?.end('SIGKILL');
  const end = performance.now() + 10_000;
  while ((await a?.status())?.routes.some((one) => one.kind === 'transparent' && one.active) === true) {
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
