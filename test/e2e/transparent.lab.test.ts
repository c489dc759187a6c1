// A real libvirt migration through transparent gateways: the hosts know nothing of them but a route to each other, and libvirt is told the
// destination's own address. What crosses is counted at the gateways, and the guest verifies its memory.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayStatus } from '@lmas/gateway-api';
import { type Lab, type LabHost, labDown, labUp } from '../lab/src/index.ts';

const LAB = 'transparent';
const PROGRAM = path.join(import.meta.dirname, '../../apps/gateway/src/main.ts');
const MIGRATION_PORT = 49_300;
const MEMORY_MIB = 128;
const skip = process.getuid?.() === 0 ? false : 'The lab needs root.';

const gateway = (machine: LabHost, args: string[]): ChildProcess =>
  spawn('nsenter', machine.enterArguments([process.execPath, PROGRAM, ...args]), { stdio: 'ignore' });

async function keygen(machine: LabHost): Promise<string> {
  await machine.exec([process.execPath, PROGRAM, 'keygen', '--out', '/root/gateway']);
  mkdirSync(machine.path('/root/gateway'), { recursive: true });
  return (await machine.exec(['cat', '/root/gateway/certificate.pem'])).stdout;
}

function configure(machine: LabHost, lab: Lab, end: 'intercept' | 'dial', sessionId: string, peer: string): void {
  const address = lab.sites.b.gatewayHost.dataAddress;
  const role = end === 'dial' ? { kind: 'listen', address, port: 7_400 } : { kind: 'dial', host: address, port: 7_400 };
  const pair = { source: lab.sites.a.host.dataAddress, destination: lab.sites.b.host.dataAddress };
  const config = {
    ...{ certificateFile: 'certificate.pem', keyFile: 'key.pem', peerCertificateFile: 'peer.pem' },
    controlSocket: 'control/control.sock',
    session: { sessionId, role },
    routes: {
      memory: { kind: 'transparent', end, pairs: [pair], ports: [MIGRATION_PORT], maxStreams: 8, priority: 'bulk' },
    },
  };
  writeFileSync(machine.path('/root/gateway/gateway.json'), JSON.stringify(config));
  writeFileSync(machine.path('/root/gateway/peer.pem'), peer);
  chmodSync(machine.path('/root/gateway/peer.pem'), 0o600);
}

async function status(machine: LabHost): Promise<GatewayStatus | null> {
  const args = ['status', '--json', '--control', '/root/gateway/control/control.sock'];
  const { code, stdout } = await machine.exec([process.execPath, PROGRAM, ...args], { allowFailure: true });
  return code === 0 ? (JSON.parse(stdout) as GatewayStatus) : null;
}

/** What a site has to do, and nothing else: forwarding at the gateway machines, and one route at each host. */
async function prepareSites({ sites: { a, b } }: Lab): Promise<void> {
  for (const { gatewayHost } of [a, b]) {
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.send_redirects=0']);
    await gatewayHost.exec(['sysctl', '-qw', 'net.ipv4.conf.data.send_redirects=0']);
  }
  await a.host.exec(['ip', 'route', 'add', `${b.host.dataAddress}/32`, 'via', a.gatewayHost.dataAddress]);
  await b.host.exec(['ip', 'route', 'add', `${a.host.dataAddress}/32`, 'via', b.gatewayHost.dataAddress]);
}

/** Answers the machine of the dialling one, once the other one intercepts. */
async function startGateways(lab: Lab): Promise<LabHost> {
  const { a, b } = lab.sites;
  const [ours, theirs] = [await keygen(a.gatewayHost), await keygen(b.gatewayHost)];
  const sessionId = randomUUID();
  configure(a.gatewayHost, lab, 'intercept', sessionId, theirs);
  configure(b.gatewayHost, lab, 'dial', sessionId, ours);
  for (const machine of [a.gatewayHost, b.gatewayHost])
    gateway(machine, ['--config', '/root/gateway/gateway.json', '--log-file', '/root/log']);
  for (let tries = 0; ; tries += 1) {
    const [route] = (await status(a.gatewayHost))?.routes ?? [];
    if (route?.kind === 'transparent' && route.active) return b.gatewayHost;
    if (tries > 40) throw new Error((await a.gatewayHost.exec(['cat', '/root/log'], { allowFailure: true })).stdout);
    await sleep(200);
  }
}

async function migrate({ sites: { a, b } }: Lab, name: string): Promise<void> {
  const connection = (host: LabHost) => `qemu:///system?socket=${host.path('/run/libvirt/libvirt-sock')}`;
  const uri = `tcp://${b.host.dataAddress}:${MIGRATION_PORT}`;
  const child = spawn(
    'virsh',
    ['-c', connection(a.host), 'migrate', '--live', '--persistent', '--undefinesource', name, connection(b.host), uri],
    { stdio: ['ignore', 'inherit', 'inherit'], timeout: 60_000 },
  );
  const code = await new Promise((resolve) => child.once('exit', resolve));
  assert.equal(code, 0);
}

test('hosts that only have routes: the guest moves through the tunnel, to the destination’s own address', {
  skip,
  timeout: 120_000,
}, async () => {
  const lab = await labUp({ name: LAB, rateMbit: 1_000, rttMs: 20, lossPct: 0 });
  try {
    await prepareSites(lab);
    const far = await startGateways(lab);
    const shape = {
      name: 'guest',
      site: 'a',
      memoryMib: MEMORY_MIB,
      dirtyPagesPerSec: 500,
      workingSetMib: 16,
    } as const;
    const { uuid } = await lab.vm.define({ ...shape, network: 'lab' });
    await lab.vm.start('a', 'guest');
    const nonce = await lab.vm.setNonce('a', 'guest');
    const before = await lab.vm.verify('a', 'guest');
    const sampler = lab.startSampler(uuid);
    await migrate(lab, 'guest');
    const after = await lab.vm.verify('b', 'guest');
    const seen = sampler.stop();
    assert.deepEqual([after.badPages, after.pages, after.nonce], [0, before.pages, nonce]);
    assert.equal(seen.maxCopies, 1);
    const destination = await status(far);
    const [carried] = destination?.closedStreams ?? [];
    assert.ok(
      (carried?.bytesReceived ?? 0) > before.pages * 4096,
      `${carried?.bytesReceived} of ${before.pages} pages`,
    );
    assert.equal(destination?.closedStreams.length, 1);
    assert.equal(destination?.closedStreams[0]?.outcome, 'finished');
  } finally {
    assert.deepEqual((await labDown(LAB)).leftovers, []);
  }
});
