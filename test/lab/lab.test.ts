// The lab itself, as everything else will use it: it comes up, its machines answer to the keys it names, its line has the round trip it says,
// its guest proves what it should prove (and fails when it should), and nothing is left of it afterwards. Needs root.

import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from 'ssh2';
import { build } from './src/build.ts';
import { run } from './src/command.ts';
import { type Lab, type LabMachine, labDown, labUp, openLab, type SiteName } from './src/index.ts';
import { netnsOf } from './src/names.ts';
import { labNamespaces, processesIn, rootLinks } from './src/network.ts';
import { recordOf } from './src/processes.ts';
import { pokePage } from './src/tamper.ts';

const NAME = 'labtest';
const skip = process.getuid?.() === 0 ? false : 'SKIPPED: the lab makes namespaces and mounts; run as root';

/** libvirt's socket of a host, as a URI for a virsh outside. */
const uriOf = (host: LabMachine) => `qemu:///system?socket=${host.path('/run/libvirt/libvirt-sock')}`;

async function migrate(lab: Lab, name: string, from: SiteName, ...flags: string[]): Promise<void> {
  const to = from === 'a' ? 'b' : 'a';
  const [source, destination] = [lab.sites[from].host, lab.sites[to].host];
  const args = [
    'migrate',
    '--live',
    '--persistent',
    '--undefinesource',
    ...flags,
    name,
    uriOf(destination),
    `tcp://${destination.dataAddress}`,
  ];
  await run('virsh', ['-c', uriOf(source), ...args], { timeoutMs: 60_000 });
}

/** Runs a command over SSH as a client that trusts one host key only. */
function overSsh(machine: LabMachine, command: string, hostKey = machine.ssh.hostKeySha256): Promise<string> {
  return new Promise((resolve, reject) => {
    const client = new Client();
    client.on('error', reject);
    client.on('ready', () => {
      client.exec(command, (error, stream) => {
        if (error) return reject(error);
        let text = '';
        stream.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        stream.on('close', () => {
          client.end();
          resolve(text.trim());
        });
      });
    });
    const { host, port, username, privateKeyPath } = machine.ssh;
    const hostVerifier = (key: Buffer) =>
      `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}` === hostKey;
    client.connect({ host, port, username, privateKey: readFileSync(privateKeyPath), hostVerifier });
  });
}

async function pingMs(lab: Lab, count = 5): Promise<number[]> {
  const inside = ['ip', 'netns', 'exec', netnsOf(lab.name, 'host-a')];
  return await probeMs(inside, lab.sites.b.host.dataAddress, count);
}

async function probeMs(inside: string[], address: string, count: number): Promise<number[]> {
  const { stdout } = await run('env', [...inside, await build('lab-probe'), address, String(count)]);
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((us) => Number(us) / 1000);
}

/** From this machine to each of the lab's, the median. */
async function managementRttsMs(lab: Lab): Promise<number[]> {
  const all = await Promise.all(Object.values(lab.machines).map(({ address }) => probeMs([], address, 5)));
  return all.map((measured) => measured.sort((one, other) => one - other)[2] ?? Number.NaN);
}

describe('the lab', { skip, timeout: 120_000 }, () => {
  let lab: Lab;

  before(async () => {
    await labDown(NAME);
    lab = await labUp({ name: NAME, rateMbit: 1000, rttMs: 20 });
  });

  after(async () => {
    await labDown(NAME);
  });

  test('is kept when it is brought up again', async () => {
    const pid = lab.sites.a.host.pid;
    const again = await labUp({ name: NAME, lossPct: 0 });
    assert.equal(again.sites.a.host.pid, pid);
    assert.equal(again.link.rttMs, 20);
  });

  test('machines answer over SSH to the key that is pinned, and to no other', async () => {
    for (const machine of Object.values(lab.machines)) assert.equal(await overSsh(machine, 'hostname'), machine.name);
    await assert.rejects(
      overSsh(lab.machines['gw-a'], 'hostname', lab.machines['gw-b'].ssh.hostKeySha256),
      /Host denied/,
    );
  });

  test('machines are apart from this machine and from each other', async () => {
    const { host, gatewayHost } = lab.sites.a;
    await gatewayHost.exec(['touch', '/root/here', '/var/lib/here', '/tmp/here']);
    assert.equal((await host.exec(['ls', '/root'])).stdout, '');
    assert.ok(!existsSync('/root/here') && !existsSync('/var/lib/here') && !existsSync('/tmp/here'));
    assert.notEqual((await gatewayHost.exec(['touch', '/usr/here'], { allowFailure: true })).code, 0);
    const uuids = await Promise.all(
      [lab.sites.a, lab.sites.b].map(
        async (site) => (await site.host.exec(['sh', '-c', 'virsh capabilities | grep -m1 uuid'])).stdout,
      ),
    );
    assert.notEqual(uuids[0], uuids[1]);
    const { stdout } = await host.exec(['sysctl', '-n', 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem']);
    assert.equal(stdout.replaceAll('\t', ' '), '4096 131072 6291456\n4096 16384 4194304\n');
  });

  test('the line has the round trip it is set to, and can be cut', async () => {
    for (const rttMs of [20, 60]) {
      await lab.setLink({ rttMs });
      const measured = await pingMs(lab);
      const median = measured.sort((one, other) => one - other)[2] ?? 0;
      assert.ok(Math.abs(median - rttMs) < 1, `round trips ${measured.join(' ')} ms at ${rttMs}`);
    }
    const before = (await lab.linkStats()).ab.droppedOutage;
    await lab.setLink({ rttMs: 20 });
    await lab.outage('on', 'ab');
    assert.equal((await pingMs(lab, 2)).length, 0);
    await lab.outage('off', 'ab');
    assert.equal((await pingMs(lab)).length, 5);
    assert.ok((await lab.linkStats()).ab.droppedOutage - before >= 2);
  });

  test('the management network has a round trip for as long as one is asked for, and SSH crosses it', async () => {
    const near = (rtts: number[]) =>
      assert.ok(Math.max(...rtts) < 10, `round trips ${rtts.join(' ')} ms without delay`);
    const far = (rtts: number[], rttMs: number) =>
      assert.ok(
        rtts.every((rtt) => Math.abs(rtt - rttMs) < 10),
        `round trips ${rtts.join(' ')} ms at ${rttMs}`,
      );
    near(await managementRttsMs(lab));
    {
      await using _distance = await lab.delayManagement(80);
      far(await managementRttsMs(lab), 80);
      const startedAt = performance.now();
      assert.equal(await overSsh(lab.machines['gw-b'], 'hostname'), 'gw-b');
      // RFC 4253, 4252, 4254: at least TCP, the versions, the key exchange, the service, the login, the channel and its command.
      assert.ok(performance.now() - startedAt > 5 * 80);
    }
    near(await managementRttsMs(lab));
    for (const machine of Object.values(lab.machines)) assert.equal(await overSsh(machine, 'hostname'), machine.name);
    await lab.delayManagement(60); // nobody disposes of it
    far(await managementRttsMs(lab), 60);
    near(await managementRttsMs(await labUp({ name: NAME })));
  });

  test('a VM moves over the line in many passes, and its guest proves it', async () => {
    await lab.setLink({ rateMbit: 1000, rttMs: 20 });
    const disks = [{ kind: 'shared', format: 'raw', sizeMib: 16 } as const];
    const { uuid } = await lab.vm.define({
      name: 'mover',
      memoryMib: 128,
      dirtyPagesPerSec: 4000,
      workingSetMib: 32,
      disks,
      diskSectorsPerSec: 50,
    });
    await lab.vm.start('a', 'mover');
    const nonce = await lab.vm.setNonce('a', 'mover');
    const before = await lab.vm.verify('a', 'mover');
    assert.equal(before.badPages, 0);
    assert.deepEqual(lab.copies(uuid), { a: true, b: false });

    const sampler = lab.startSampler(uuid);
    await migrate(lab, 'mover', 'a', '--unsafe', '--bandwidth', '30');
    const after = await lab.vm.verify('b', 'mover');
    const seen = sampler.stop();

    const passes = /Iteration:\s+(\d+)/.exec(await lab.vm.virsh('b', ['domjobinfo', '--completed', 'mover']))?.[1];
    assert.ok(Number(passes) >= 3, `only ${passes} passes`);
    assert.deepEqual(
      [after.pages, after.badPages, after.badSectors, after.diskErrors, after.nonce],
      [before.pages, 0, 0, 0, nonce],
    );
    assert.ok(after.counter > before.counter && after.writes > before.writes && after.sectors > 0);
    assert.equal(seen.maxCopies, 1);
    assert.equal(seen.heartbeats.repeated, 0);
    assert.equal(seen.heartbeats.moves.length, 1);
    assert.ok((seen.downtimeMs ?? 0) > 20 && (seen.downtimeMs ?? 0) < 3_000, `downtime ${seen.downtimeMs} ms`);
    assert.deepEqual(lab.copies(uuid), { a: false, b: true });
    await assert.rejects(lab.vm.status('a', 'mover', { timeoutMs: 500 }), { code: 'LAB_GUEST_SILENT' });
  });

  test('a guest whose memory was tampered with says so', async () => {
    const qmp = (command: object) => lab.vm.virsh('b', ['qemu-monitor-command', 'mover', JSON.stringify(command)]);
    // Page 1000 of the data (16 MiB + 1000 · 4 KiB) is replaced by page 1001: something no migration may do, and exactly what a lost write looks like.
    await lab.vm.setDirtyRate('b', 'mover', 0);
    const gdb = '/run/lab/gdb.sock';
    assert.equal(
      JSON.parse(
        await qmp({
          execute: 'human-monitor-command',
          arguments: { 'command-line': `gdbserver unix:${gdb},server=on,wait=off` },
        }),
      ).return.includes('failed'),
      false,
    );
    await pokePage(lab.sites.b.host.path(gdb), 0x1000000 + 1000 * 4096, Buffer.from('deadbeef', 'hex'));
    const verdict = await lab.vm.verify('b', 'mover');
    assert.deepEqual([verdict.badPages, verdict.firstBadPage], [1, 1000]);
  });

  test('a copy with a NIC of its own is heard beside the VM, and told from it', async () => {
    const { uuid } = await lab.vm.define({ name: 'model', site: 'a', memoryMib: 64 });
    const xml = await lab.vm.xml('a', 'model');
    // As a drill makes it: all that names it is its own, but the guest's command line says the VM's UUID.
    const copyXml = xml
      .replace('<name>model<', '<name>copy<')
      .replace(`<uuid>${uuid}<`, `<uuid>${randomUUID()}<`)
      .replace(/<mac address='[^']*'/, "<mac address='52:54:00:00:00:01'")
      .replace('/model.sock', '/copy.sock');
    await lab.vm.defineXml('b', copyXml);
    const sampler = lab.startSampler(uuid);
    await lab.vm.start('a', 'model');
    await lab.vm.start('b', 'copy');
    const seen = sampler.stop();
    assert.deepEqual([seen.maxHosts, seen.maxCopies], [1, 2]);
    assert.deepEqual([seen.heartbeats.repeated, seen.heartbeats.bySite.b, seen.fromOtherNics.a], [0, 0, 0]);
    assert.ok(seen.heartbeats.count > 0 && seen.fromOtherNics.b > 0);
    for (const name of ['model', 'copy']) await lab.vm.remove(name);
  });

  test('a second copy does not escape the sampler', async () => {
    const { uuid } = await lab.vm.define({ name: 'twin', site: 'a', memoryMib: 64 });
    const xml = await lab.vm.xml('a', 'twin');
    await lab.vm.defineXml('b', xml);
    const sampler = lab.startSampler(uuid);
    await Promise.all([lab.vm.start('a', 'twin'), lab.vm.start('b', 'twin')]);
    const seen = sampler.stop();
    assert.equal(seen.maxCopies, 2);
    assert.ok(seen.heartbeats.repeated > 0);
    await assert.rejects(lab.vm.start('a', 'twin'), {
      code: 'LAB_VM_RUNS',
      message: /runs already: twin at site a, running/,
    });
    await assert.rejects(lab.vm.define({ name: 'twin', memoryMib: 64 }), { code: 'LAB_VM_EXISTS' });
    await lab.vm.remove('twin');
    await assert.rejects(lab.vm.start('a', 'twin'), { code: 'LAB_VM_UNKNOWN' });
    assert.deepEqual(
      (await lab.vm.list()).map((row) => row.name),
      ['mover'],
    );
  });

  test('daemons can be stopped, frozen and started again, and cables pulled; the VM runs on', async () => {
    const { host } = lab.sites.b;
    const before = await lab.vm.status('b', 'mover');
    await host.restartLibvirtd();
    await host.pause('libvirtd');
    await assert.rejects(host.exec(['virsh', 'list'], { timeoutMs: 500 }), { code: 'LAB_TIMEOUT' });
    await host.resume('libvirtd');
    await host.killSshd();
    await assert.rejects(overSsh(host, 'hostname'), /ECONNREFUSED/);
    await host.startSshd();
    assert.equal(await overSsh(host, 'hostname'), 'host-b');
    await host.setInterface('data', false);
    assert.equal((await pingMs(lab, 1).catch(() => [])).length, 0);
    await host.setInterface('data', true);
    assert.equal((await pingMs(lab, 2)).length, 2);
    assert.equal(await lab.vm.state('b', 'mover'), 'running');
    assert.ok((await lab.vm.status('b', 'mover')).counter > before.counter);
  });

  test('a host that crashed comes back with its disk and without its VMs', async () => {
    await lab.sites.b.host.crash();
    assert.equal(lab.sites.b.host.running, false);
    assert.throws(() => lab.sites.b.host.pid, { code: 'LAB_MACHINE_DOWN' });
    await lab.sites.b.host.start();
    assert.equal(await lab.vm.state('b', 'mover'), 'shut off');
    assert.equal((await pingMs(lab)).length, 5);
  });

  test('a line that cannot be is refused, and the lab stays usable', async () => {
    await assert.rejects(lab.setLink({ lossPct: 200 }), { code: 'LAB_ARGUMENT' });
    await assert.rejects(lab.setLink({ rttMs: 1e9 }), { code: 'LAB_ARGUMENT' });
    assert.equal((await openLab(lab.name)).link.lossPct, lab.link.lossPct);
  });

  test('giving up while it comes up leaves nothing', async () => {
    const giveUp = new AbortController();
    const coming = labUp({ name: 'labtest2', signal: giveUp.signal });
    setTimeout(() => giveUp.abort(new Error('enough')), 300);
    await assert.rejects(coming, /enough/);
    assert.deepEqual([labNamespaces('labtest2'), await rootLinks('labtest2')], [[], []]);
    await assert.rejects(openLab('labtest2'), { code: 'LAB_NOT_UP' });
  });

  test('goes down without a trace', async () => {
    await lab.delayManagement(20);
    const pids = await processesIn(NAME);
    assert.ok(pids.length > 6);
    writeFileSync(join(lab.stateDir, 'shared', 'something'), '');
    assert.deepEqual(await labDown(NAME), { leftovers: [] });
    assert.deepEqual(labNamespaces(NAME), []);
    assert.deepEqual(await rootLinks(NAME), []);
    assert.ok(!existsSync(lab.stateDir));
    assert.deepEqual(
      pids.filter((pid) => recordOf(pid) !== undefined),
      [],
    );
    assert.ok(!(await run('findmnt', ['-rno', 'TARGET'])).stdout.includes(NAME));
    await assert.rejects(openLab(NAME), { code: 'LAB_NOT_UP' });
    assert.deepEqual(await labDown(NAME), { leftovers: [] });
  });
});
