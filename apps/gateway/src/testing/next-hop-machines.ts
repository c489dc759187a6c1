/**
 * What runs at the machines of the next-hop network: hosts that make and serve connections on command, and a pair of gateways in static
 * mode, each a process. Whoever makes them ends them; the network's `close` ends the hosts.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { GatewayStatus, RouteConfig } from '@lmas/gateway-api';
import { makeIdentity } from '../security/certificate.ts';
import type { Asked, Command } from './host-process.ts';
import { addresses, type Machine, type NextHopNetwork } from './next-hop-network.ts';

const PROGRAM = path.join(import.meta.dirname, '../main.ts');
const HOST = path.join(import.meta.dirname, 'host-process.ts');
const STARTS_WITHIN_MS = 15_000;

/** What is asked for beyond host and port. */
type Wish = Partial<Pick<Extract<Command, { op: 'ask' }>, 'from' | 'fromPort' | 'letter' | 'bytes'>>;

export class Host {
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
  ask(host: string, port: number, wish: Wish = {}): Promise<Asked> {
    return this.do<Asked>({ op: 'ask', host, port, letter: 'E', bytes: 1_000_000, ...wish });
  }
}

/** One gateway of the pair in static mode, in its machine. */
export class GatewayProcess {
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
  /** Null while it does not say. */
  async intercepts(): Promise<boolean | null> {
    const [state] = (await this.status())?.routes ?? [];
    return state?.kind === 'transparent' ? state.active : null;
  }
  run(...command: readonly string[]): string {
    return this.#network.run(this.#machine, [process.execPath, PROGRAM, ...command]);
  }
  async remove(): Promise<void> {
    await this.end('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
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

/** The dialling gateway beside the source, the listening one beside the destination. */
export function makeGateways(
  network: NextHopNetwork,
  route: (end: 'intercept' | 'dial') => RouteConfig,
): [GatewayProcess, GatewayProcess] {
  const [ours, theirs] = [makeIdentity(1), makeIdentity(1)];
  const { tunnel } = addresses;
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

/** Until both intercept. */
export async function startBoth([a, b]: readonly [GatewayProcess, GatewayProcess]): Promise<void> {
  for (const gateway of [b, a]) gateway.start();
  for (const gateway of [b, a]) {
    const end = performance.now() + STARTS_WITHIN_MS;
    while ((await gateway.intercepts()) !== true) {
      assert.ok(performance.now() < end, 'the session did not come up');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Both ends saw the other's own address, and the very bytes. */
export function assertReal(asked: Asked, from: string, host: string, port: number): void {
  assert.equal(asked.error, null);
  assert.deepEqual(asked.answer, { ...asked.answer, remote: asked.local, local: `${host} ${port}`, sha1: asked.sha1 });
  assert.equal(asked.local.split(' ')[0], from);
}
