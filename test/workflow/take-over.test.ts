/**
 * A run that is stopped in the one gap that no look at the record can close, between that look and the call after it. The
 * SSH server is real, and so are the processes; the libvirt daemons behind it are scripted, and the gateway is played.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pluginErrorCode, type RunIdentity } from '@lmas/plugin-api';
import { kvmPlugin } from '@lmas/plugin-kvm';
import { FakeWorld } from '@lmas/plugin-kvm/testing';
import { connectSsh, type SshConnection } from '@lmas/ssh';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { takeOver } from '../../plugins/kvm/src/take-over.ts';
import {
  type Assignment,
  connectEnd,
  type GatewayErrand,
  provisionerOf,
  requestOf,
  silent,
} from './take-over-parts.ts';

const VM = { id: '4dea22b3-1d52-d8f3-2516-782e98ab3fa0', name: 'web' };
const FINISH = 'domainMigrateFinish3Params';
const missing = sshdMissing();
/** Runs are marked by their ids in the machine's table of processes, where other runs of this file may have theirs. */
const idOf = (name: string): string => `m_${process.pid}_${name}`;

const processState = (pid: number): string | undefined =>
  readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[0];

/** Waits until the run in this process stands still. Answers what wakes it up, and then what it has to say. */
async function stopped(child: ChildProcess): Promise<() => Promise<string>> {
  const { pid } = child;
  assert.ok(pid !== undefined);
  const ended = once(child, 'message');
  while (processState(pid) !== 'T') {
    assert.equal(await Promise.race([ended, sleep(20)]), undefined, 'it ended before it was stopped');
  }
  return async () => {
    process.kill(pid, 'SIGCONT');
    return String((await ended)[0]);
  };
}

describe('a run that was stopped between its last look and its next call', { skip: missing }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd();
  });
  after(() => sshd[Symbol.asyncDispose]());

  /** Two scripted hosts, and a run in a process of its own that stands stopped right before its Finish. */
  async function stoppedRun(run: RunIdentity | undefined) {
    const stack = new AsyncDisposableStack();
    const world = new FakeWorld();
    const [a, b] = [world.addHost('a', '/srv/shared'), world.addHost('b', '/srv/shared')];
    a.addGuest(VM.name, VM.id);
    const path = (name: string) => join(sshd.directory, `${name}-${run?.migrationId ?? 'none'}`);
    for (const host of [a, b]) stack.use(await host.serve(path(host.name)));
    const assignment: Assignment = {
      ...{ vm: VM, run, ssh: { host: sshd.host, port: sshd.port, hostKeys: [sshd.hostKeys.ed25519] } },
      credential: { kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey },
      socketPaths: { source: path('a'), destination: path('b') },
      addresses: { source: a.address, destination: b.address },
    };
    const child = fork(new URL('stopped-run.ts', import.meta.url));
    stack.defer(() => void child.kill('SIGKILL'));
    child.send(assignment);
    const wake = await stopped(child);
    assert.ok(!b.calls.includes(FINISH));
    return { world, a, b, assignment, wake, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  test('without a take-over its Finish reaches libvirt when it wakes up: the gap is there', async () => {
    await using stopped = await stoppedRun(undefined);
    assert.equal(await stopped.wake(), 'confirmed');
    assert.ok(stopped.b.calls.includes(FINISH));
  });

  test('taken over, its Finish never reaches libvirt, and the VM runs on at the source', async () => {
    const migrationId = idOf('finish');
    await using stopped = await stoppedRun({ migrationId, token: 1 });
    const { world, b, assignment } = stopped;
    const signal = AbortSignal.timeout(30_000);
    const mine = { ...assignment, run: { migrationId, token: 2 } };
    const source = await connectEnd(mine, 'source', signal);
    const destination = await connectEnd(mine, 'destination', signal);
    try {
      const context = { log: silent, recordIntent: async () => undefined, assertCurrent: async () => undefined };
      const driver = kvmPlugin.migration({ source, destination }, requestOf(mine), context);
      const started = performance.now();
      assert.equal((await driver.abort({ signal })).where, 'source');
      assert.ok(performance.now() - started < 5_000, 'nobody had to wait for libvirt to notice');
      assert.notEqual(await stopped.wake(), 'confirmed');
      assert.ok(!b.calls.includes(FINISH));
      assert.deepEqual([world.running(VM.id), world.violations], [['a'], []]);
      assert.equal((await driver.locate({ signal })).where, 'source');
    } finally {
      await Promise.all([source.close(), destination.close()]);
    }
  });
});

describe('a run that was stopped between its last look and its call at a gateway machine', { skip: missing }, () => {
  const stack = new AsyncDisposableStack();
  const directory = `.lmas-test-${randomUUID().slice(0, 8)}`;
  const place = join(homedir(), directory);
  let machine: Omit<GatewayErrand, 'call' | 'address'>;
  before(async () => {
    const sshd = stack.use(await startSshd());
    stack.defer(() => rm(place, { recursive: true, force: true }));
    const listens = `require("net").createServer().listen(process.argv[1])`;
    await mkdir(join(sshd.directory, 'lmas-gateway/bin'), { recursive: true });
    const program = `#!/bin/sh\nexec '${process.execPath}' -e '${listens}' "$3"\n`;
    await writeFile(join(sshd.directory, 'lmas-gateway/bin/lmas-gateway'), program, { mode: 0o700 });
    const bundleFile = join(sshd.directory, 'gateway.tar.gz');
    execFileSync('tar', ['--format=ustar', '-czf', bundleFile, '-C', sshd.directory, 'lmas-gateway']);
    machine = {
      ssh: { host: sshd.host, port: sshd.port, hostKeys: [sshd.hostKeys.ed25519] },
      credential: { kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey },
      ...{ installation: 'x1', directory, bundleFile },
    };
  });
  after(() => stack.disposeAsync());

  for (const call of ['start', 'remove'] as const) {
    test(`taken over, its ${call} leaves the gateway of the new one alone`, async () => {
      const errand = {
        ...machine,
        call,
        address: { site: 'here', owner: `m_${randomUUID()}`, end: 'source' },
      } as const;
      const child = fork(new URL('stopped-gateway-run.ts', import.meta.url));
      stack.defer(() => void child.kill('SIGKILL'));
      child.send(errand);
      const wake = await stopped(child);
      const signal = AbortSignal.timeout(60_000);
      const removal = { signal, sparing: false };
      const provisioner = provisionerOf(errand);
      try {
        await provisioner.start(errand.address, 2, { signal });
        const pidFile = join(place, 'gateways/x1', `${errand.address.owner}-source`, 'pid');
        const there = readFileSync(pidFile, 'utf8');
        const pid = Number(there.split(' ')[0]);
        assert.equal(await wake(), 'SUPERSEDED');
        assert.equal(readFileSync(pidFile, 'utf8'), there);
        process.kill(pid, 0);
        await provisioner.remove(errand.address, 2, removal);
        assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
        const left = (await readdir(place, { recursive: true })).filter((name) => !name.startsWith('bundles'));
        assert.deepEqual(left.sort(), ['fences', 'gateways']);
      } finally {
        await provisioner.remove(errand.address, 2, removal);
        await provisioner.close();
      }
    });
  }
});

describe('who is ended, and who is not', { skip: missing }, () => {
  let signal: AbortSignal;
  const stack = new AsyncDisposableStack();
  let sshd: TestSshd;
  before(async () => {
    sshd = stack.use(await startSshd());
    signal = AbortSignal.timeout(60_000); // not from the file's beginning: what is described before takes its own time
  });
  after(() => stack.disposeAsync());

  async function connect(server = sshd): Promise<SshConnection> {
    const { host, port, hostKeys, username, privateKey } = server;
    const credential = { kind: 'ssh-key', username, privateKey } as const;
    const ssh = await connectSsh({ host, port, hostKeys: [hostKeys.ed25519], credential }, { signal });
    stack.defer(() => ssh.close());
    return ssh;
  }
  async function connectAs(migrationId: string, token: number): Promise<SshConnection> {
    const ssh = await connect();
    await takeOver(ssh, { migrationId, token }, { signal, log: silent });
    return ssh;
  }
  const gone = async ({ closed }: SshConnection): Promise<void> => {
    if (!closed.aborted) await once(closed, 'abort', { signal: AbortSignal.timeout(5_000) });
  };
  /** The sshd process that serves a connection. */
  async function serverOf(ssh: SshConnection): Promise<number> {
    const { stdout } = await ssh.exec(['exec', 'sh', '-c', 'echo $PPID'], { signal });
    return Number(stdout.toString());
  }

  test('earlier runs of this migration only: not its own other end, not another migration, not a check', async () => {
    const earlier = await connectAs(idOf('1'), 1);
    const bystanders = [await connectAs(idOf('2'), 1), await connectAs(idOf('11'), 1), await connect()];
    const mine = await connectAs(idOf('1'), 12);
    const myOther = await connectAs(idOf('1'), 12);
    await gone(earlier);
    for (const ssh of [mine, myOther, ...bystanders]) {
      assert.equal((await ssh.exec(['echo', 'here'], { signal })).stdout.toString(), 'here\n');
    }
  });

  test('an earlier run that comes late is told so, and ends nobody', async () => {
    const later = await connectAs(idOf('late'), 10);
    await assert.rejects(connectAs(idOf('late'), 9), (error) => pluginErrorCode(error) === 'SUPERSEDED');
    assert.equal((await later.exec(['true'], { signal })).exitCode, 0);
  });

  test('an sshd that does not heed SIGTERM is killed', async () => {
    const earlier = await connectAs(idOf('stuck'), 1);
    process.kill(await serverOf(earlier), 'SIGSTOP');
    await connectAs(idOf('stuck'), 2);
    await gone(earlier);
  });

  test('a connection whose mark ended is closed, and a closed connection leaves no mark', async () => {
    const looking = await connect();
    const marks = async (): Promise<number[]> => {
      const find = ['sh', '-c', `grep -lszx "lmas-run/${idOf('mark')}/[0-9]*" /proc/[0-9]*/cmdline`];
      const { stdout } = await looking.exec(find, { signal });
      return [...stdout.toString().matchAll(/\d+/g)].map(Number);
    };
    const first = await connectAs(idOf('mark'), 1);
    const [mark] = await marks();
    assert.ok(mark !== undefined);
    process.kill(mark, 'SIGKILL');
    await gone(first);
    const second = await connectAs(idOf('mark'), 1);
    assert.equal((await marks()).length, 1);
    await second.close();
    while ((await marks()).length > 0) await sleep(20, undefined, { signal });
  });

  test('a host that lets nobody be marked: the first run goes on, a later one waits for libvirt', async () => {
    const restricted = stack.use(await startSshd(['ForceCommand echo not here']));
    const warnings: string[] = [];
    const log = { ...silent, warn: (_: object, message: string) => void warnings.push(message) };
    const wait = async (token: number): Promise<number> => {
      const ssh = await connect(restricted);
      const started = performance.now();
      await takeOver(ssh, { migrationId: idOf('shell'), token }, { signal, log, unmarkedWaitMs: 5_000 });
      return performance.now() - started;
    };
    assert.ok((await wait(1)) < 4_500);
    assert.ok((await wait(2)) >= 5_000);
    assert.equal(warnings.length, 2);
  });
});
