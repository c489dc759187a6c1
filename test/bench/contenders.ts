/**
 * Who competes: each sets up a way from the source host to the destination host, as its users would, with default
 * settings, and takes it down again. Gateways and SSH run on the gateway machines, so that their cost can be told apart.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Lab, LabHost } from '../lab/src/index.ts';
import { waitUntil } from '../lab/src/processes.ts';

export const SINK_PORT = 7_001;
const ENTRY_PORT = 7_002;
const TUNNEL_PORT = 7_400;
const READY_WITHIN_MS = 20_000;
const GATEWAY = fileURLToPath(new URL('../../apps/gateway/bin/lmas-gateway.mjs', import.meta.url));

export interface Entry {
  readonly host: string;
  readonly port: number;
}

export interface Contender {
  readonly name: string;
  readonly what: string;
  /** Makes the way. The sink listens already. */
  open(lab: Lab): Promise<Way>;
}

export interface Way extends AsyncDisposable {
  /** Where the source has to connect. */
  readonly entry: Entry;
}

const direct: Contender = {
  name: 'direct',
  what: 'one TCP stream, cubic, distribution buffers',
  async open(lab) {
    const entry = { host: lab.sites.b.host.dataAddress, port: SINK_PORT };
    return { entry, async [Symbol.asyncDispose]() {} };
  },
};

const ssh: Contender = {
  name: 'ssh -L',
  what: 'OpenSSH port forwarding between the gateway machines',
  async open(lab) {
    const { a, b } = lab.sites;
    copyFileSync(lab.clientKeyPath, a.gatewayHost.path('/root/bench_key'));
    const forward = `${a.gatewayHost.dataAddress}:${ENTRY_PORT}:${b.host.dataAddress}:${SINK_PORT}`;
    const options = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR'];
    const program = inside(a.gatewayHost, [
      'ssh',
      ...options,
      '-i',
      '/root/bench_key',
      '-N',
      '-g',
      '-L',
      forward,
      `root@${b.gatewayHost.dataAddress}`,
    ]);
    return wayThrough(a.gatewayHost, [program]);
  },
};

const lmas: Contender = {
  name: 'lmas',
  what: 'a gateway pair, AES-256-GCM, defaults',
  async open(lab) {
    const { a, b } = lab.sites;
    const sessionId = randomUUID();
    await Promise.all([a, b].map(({ gatewayHost }) => makeKey(gatewayHost)));
    exchangeCertificates(a.gatewayHost, b.gatewayHost);
    writeConfig(
      b.gatewayHost,
      sessionId,
      { kind: 'listen', address: b.gatewayHost.dataAddress, port: TUNNEL_PORT },
      {
        kind: 'dial',
        host: b.host.dataAddress,
        port: SINK_PORT,
      },
    );
    writeConfig(
      a.gatewayHost,
      sessionId,
      { kind: 'dial', host: b.gatewayHost.dataAddress, port: TUNNEL_PORT },
      {
        kind: 'listen',
        address: a.gatewayHost.dataAddress,
        port: ENTRY_PORT,
        allowFrom: [a.host.dataAddress],
      },
    );
    const programs = [b, a].map(({ gatewayHost }) =>
      inside(gatewayHost, [
        process.execPath,
        GATEWAY,
        '--config',
        '/root/bench/config.json',
        '--log-file',
        '/root/bench/gateway.log',
      ]),
    );
    await established(a.gatewayHost);
    return wayThrough(a.gatewayHost, programs);
  },
};

export const CONTENDERS: readonly Contender[] = [direct, ssh, lmas];

/** A program inside a machine. `nsenter` forks into the PID namespace and hands no signal on, so the id counts that is valid inside. */
interface Inside {
  readonly machine: LabHost;
  readonly child: ChildProcess;
  readonly pidFile: string;
}

function inside(machine: LabHost, command: readonly string[]): Inside {
  const pidFile = `/run/bench-${randomUUID()}.pid`;
  const script = 'echo $$ >"$1"; shift; exec "$@"';
  const args = machine.enterArguments(['/bin/sh', '-c', script, 'sh', pidFile, ...command]);
  return { machine, pidFile, child: spawn('nsenter', args, { stdio: ['ignore', 'ignore', 'inherit'] }) };
}

async function wayThrough(machine: LabHost, programs: readonly Inside[]): Promise<Way> {
  const entry = { host: machine.dataAddress, port: ENTRY_PORT };
  const way: Way = {
    entry,
    async [Symbol.asyncDispose]() {
      await Promise.all(programs.map(endInside));
    },
  };
  const listens = async (): Promise<boolean> =>
    (await machine.exec(['ss', '-Hltn', `sport = :${ENTRY_PORT}`])).stdout.trim() !== '';
  if (await waitUntil(listens, READY_WITHIN_MS, 100)) return way;
  await way[Symbol.asyncDispose]();
  throw new Error(`Nothing listens on port ${ENTRY_PORT} of ${machine.name} after ${READY_WITHIN_MS} ms.`);
}

async function endInside({ machine, child, pidFile }: Inside): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  const pid = readFileSync(machine.path(pidFile), 'utf8').trim();
  await machine.exec(['kill', '-TERM', pid], { allowFailure: true });
  await exited;
}

async function makeKey(machine: LabHost): Promise<void> {
  rmSync(machine.path('/root/bench'), { recursive: true, force: true });
  mkdirSync(machine.path('/root/bench'));
  await machine.exec([process.execPath, GATEWAY, 'keygen', '--out', '/root/bench']);
}

function exchangeCertificates(one: LabHost, other: LabHost): void {
  copyFileSync(one.path('/root/bench/certificate.pem'), other.path('/root/bench/peer.pem'));
  copyFileSync(other.path('/root/bench/certificate.pem'), one.path('/root/bench/peer.pem'));
}

function writeConfig(machine: LabHost, sessionId: string, role: object, route: object): void {
  const config = {
    certificateFile: 'certificate.pem',
    keyFile: 'key.pem',
    peerCertificateFile: 'peer.pem',
    controlSocket: 'control.sock',
    session: { sessionId, role },
    routes: { bench: { ...route, maxStreams: 4, priority: 'bulk' } },
  };
  writeFileSync(machine.path('/root/bench/config.json'), JSON.stringify(config));
}

async function established(machine: LabHost): Promise<void> {
  const look = async (): Promise<boolean> => {
    const status = await machine.exec([process.execPath, GATEWAY, 'status', '--control', '/root/bench/control.sock'], {
      allowFailure: true,
    });
    return status.code === 0 && /"state":\s*"established"/.test(status.stdout);
  };
  if (!(await waitUntil(look, READY_WITHIN_MS, 250))) {
    const log = readFileSync(machine.path('/root/bench/gateway.log'), 'utf8');
    throw new Error(`The gateways did not find each other within ${READY_WITHIN_MS} ms:\n${log}`);
  }
}
