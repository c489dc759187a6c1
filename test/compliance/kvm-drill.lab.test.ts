/**
 * Drills on real libvirt and QEMU: a copy of a running guest comes up at the destination while the guest itself runs on, its disks have
 * what the guest had written, and everything is undone; also after the orchestrator was killed.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import {
  type DrillDriver,
  type DrillRequest,
  type EndpointSession,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
} from '@lmas/plugin-api';
import { kvmPlugin } from '@lmas/plugin-kvm';
import {
  type Lab,
  labDown,
  labUp,
  readHeartbeats,
  reportOf,
  type SiteName,
  tellApart,
  witnessPosition,
} from '../lab/src/index.ts';

const NAME = 'kvmdrill';
const IMAGES = '/var/lib/libvirt/images';
const SHARED = '/var/lib/lab-shared';
const SECTOR_BYTES = 512;
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'the lab needs root: run this as root to copy real guests';
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

type Request = DrillRequest<ReturnType<typeof kvmPlugin.optionsSchema.parse>>;

/** What the guest writes into a sector (guest/disk.c): a function of sector, generation and its seed. */
function sectorContent(sector: number, generation: number, seed: number): Buffer {
  let x = (Math.imul(sector + 1, 0x9e3779b1) ^ Math.imul(generation, 0x85ebca77) ^ seed) >>> 0;
  if (x === 0) x = 1;
  const content = Buffer.alloc(SECTOR_BYTES);
  for (let at = 0; at < SECTOR_BYTES; at += 2) {
    x = (x ^ (x << 13)) >>> 0;
    x = (x ^ (x >>> 17)) >>> 0;
    x = (x ^ (x << 5)) >>> 0;
    content.writeUInt16LE((x >>> 8) & 0xffff, at);
  }
  return content;
}

describe('real drills', { skip }, () => {
  let lab: Lab;
  let count = 0;

  before(async () => {
    lab = await labUp({ name: NAME, rateMbit: 1000, rttMs: 20, lossPct: 0 });
    const { host } = lab.sites.b;
    await host.exec(['ip', 'link', 'add', 'br-quiet', 'type', 'bridge']);
    await host.exec(['ip', 'link', 'set', 'dev', 'br-quiet', 'up']);
  });

  after(async () => {
    assert.deepEqual((await labDown(NAME)).leftovers, []);
  });

  /** One guest, and the orchestrator's side of drills of it. */
  class Rehearsal implements AsyncDisposable {
    readonly signal = AbortSignal.timeout(90_000);
    readonly name: string;
    readonly journal: PluginResource[] = [];
    /** What the second disk and the CD-ROM hold. */
    readonly data = randomBytes(3 << 20);
    readonly medium = randomBytes(70 * 2_048);
    uuid = '';
    seed = 0;
    counter = 0;
    #nonce = '';
    #mac = '';
    #position = 0;
    #sessions: EndpointSession[] = [];
    #run = 0;

    constructor() {
      count += 1;
      this.name = `d${count}`;
    }

    /** @param devices whether it has a second disk, a CD-ROM and more, or one disk alone */
    async start(devices: 'one-disk' | 'many'): Promise<void> {
      const { uuid, xml } = await lab.vm.define({
        ...{ name: this.name, site: 'a', memoryMib: 128, workingSetMib: 16, dirtyPagesPerSec: 500, network: 'lab' },
        disks: [
          { kind: 'local', format: 'qcow2', sizeMib: 32 },
          ...(devices === 'many' ? ([{ kind: 'shared', format: 'raw', sizeMib: 16 }] as const) : []),
        ],
        ...{ diskUseMib: 8, diskSectorsPerSec: 200 },
      });
      this.#mac = /<mac address='([^']*)'/.exec(xml)?.[1] ?? '';
      if (devices === 'many') await this.#addDevices(uuid, xml);
      this.uuid = uuid;
      this.seed = Number(/ seed=(\d+)/.exec(xml)?.[1]);
      await lab.vm.start('a', this.name);
      this.#nonce = await lab.vm.setNonce('a', this.name);
      this.counter = (await lab.vm.status('a', this.name)).counter;
      this.#position = witnessPosition(lab.witnessFile);
    }

    async #addDevices(uuid: string, xml: string): Promise<void> {
      const { host } = lab.sites.a;
      const second = readFileSync(host.path(`${SHARED}/${this.name}-1.img`));
      this.data.copy(second, 5 << 20);
      writeFileSync(host.path(`${SHARED}/${this.name}-1.img`), second);
      writeFileSync(host.path(`${IMAGES}/${this.name}.iso`), this.medium);
      const more = `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='${IMAGES}/${this.name}.iso'/>
        <target dev='hdc' bus='ide'/><readonly/></disk><disk type='file' device='cdrom'><target dev='hdd' bus='ide'/><readonly/></disk>
        <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
        <graphics type='vnc' autoport='yes' listen='0.0.0.0'/></devices>`;
      await lab.vm.defineXml('a', xml.replace('</devices>', more).replace('<uuid>', `<genid>${uuid}</genid><uuid>`));
    }

    async #session(site: SiteName): Promise<EndpointSession> {
      const { ssh, dataAddress } = lab.sites[site].host;
      const config = kvmPlugin.configSchema.parse({
        ...{ host: ssh.host, port: ssh.port, hostKeys: [ssh.hostKeySha256], migrationAddress: dataAddress },
        sharedPaths: [SHARED],
      });
      const privateKey = readFileSync(ssh.privateKeyPath, 'utf8');
      const credential = { kind: 'ssh-key', username: ssh.username, privateKey } as const;
      const run = { migrationId: `m_${this.name}`, token: this.#run };
      const session = await kvmPlugin.connect(config, { log: quiet, credential, run }, { signal: this.signal });
      this.#sessions.push(session);
      return session;
    }

    async driver(changes: Partial<Request> = {}): Promise<DrillDriver> {
      this.#run += 1;
      const run = this.#run;
      const request: Request = {
        ...{ migrationId: `m_${this.name}`, vm: { id: this.uuid, name: this.name }, diskMap: {} },
        options: kvmPlugin.optionsSchema.parse({}),
        ...{ networkMap: { 'br-lab': 'br-quiet' }, bandwidthBytesPerSec: null, tunnelled: false, ...changes },
      };
      const ends = { source: await this.#session('a'), destination: await this.#session('b') };
      assert.ok(kvmPlugin.drill !== undefined);
      return kvmPlugin.drill(ends, request, {
        log: quiet,
        recordIntent: async (resource) => {
          this.journal.push(JSON.parse(JSON.stringify(resource)));
        },
        assertCurrent: async () => {
          if (run !== this.#run) throw new PluginError('SUPERSEDED', 'killed');
        },
      });
    }

    copy(
      driver: DrillDriver,
      prepared: Prepared,
      onProgress: (percent: number) => void = () => undefined,
    ): Promise<void> {
      const routes: Routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
      return driver.copy(prepared, routes, { signal: this.signal, onProgress: ({ percent }) => onProgress(percent) });
    }

    async release(driver: DrillDriver, end?: PluginResource['end']): Promise<void> {
      for (const resource of this.journal.toReversed()) {
        if (end === undefined || resource.end === end) await driver.release(resource, { signal: this.signal });
      }
    }

    /** As SIGKILL: the kernel closes every connection, and this run does nothing any more. */
    kill(): void {
      this.#run += 1;
      for (const session of this.#sessions.splice(0)) void session.close();
    }

    /** What was heard of the VM since it started, and of its copies: these send its id too, through NICs of their own. */
    get heard() {
      const { heartbeats } = readHeartbeats(lab.witnessFile, this.uuid, this.#position);
      return tellApart(heartbeats, this.#mac);
    }

    /** As the guest itself and libvirt say; a guest that was ever paused would be `running (unpaused)`. */
    async assertUntouched(): Promise<void> {
      assert.equal((await lab.vm.virsh('a', ['domstate', '--reason', this.name])).trim(), 'running (booted)');
      const seen = await lab.vm.verify('a', this.name);
      assert.deepEqual([seen.badPages, seen.badSectors, seen.diskErrors, seen.nonce], [0, 0, 0, this.#nonce]);
      assert.ok(seen.counter > this.counter, 'it runs on');
      this.counter = seen.counter;
      assert.deepEqual(await lab.copies(this.uuid), { a: true, b: false });
      const { bySite, repeated, moves } = reportOf(this.heard.own);
      assert.ok(bySite.a > 0);
      assert.deepEqual([bySite.b, repeated, moves], [0, 0, []], 'it was never anywhere else, and never twice');
      assert.equal(this.heard.fromOtherNics.a, 0, 'no copy was heard beside it');
    }

    async assertUndone(): Promise<void> {
      await this.assertUntouched();
      for (const site of ['a', 'b'] as const) {
        const { host } = lab.sites[site];
        const { stdout } = await host.exec(['sh', '-c', 'ls /tmp; cat /proc/[0-9]*/comm; virsh list --all --name']);
        assert.doesNotMatch(stdout, /lmas-drill|qemu-nbd|qemu-img|-drill-/);
        for (const directory of [IMAGES, SHARED]) {
          assert.deepEqual(
            readdirSync(host.path(directory)).filter((file) => file.includes('drill')),
            [],
          );
        }
      }
      await assert.rejects(lab.vm.virsh('a', ['backup-dumpxml', this.name]));
    }

    async [Symbol.asyncDispose](): Promise<void> {
      const driver = await this.driver();
      for (const resource of this.journal.toReversed()) {
        await driver.release(resource, { signal: this.signal }).catch(() => undefined);
      }
      this.kill();
      await lab.vm.remove(this.name);
    }
  }

  /** Over the pseudo-terminal of its serial line: `stat` is answered once its kernel has filled its memory. */
  const ASK = 'exec 3<>"$1"; printf "\\nq stat\\n" >&3; exec timeout 2 sed -n "/^q ok/{p;q}" <&3';

  async function waitUntilItAnswers(uuid: string, signal: AbortSignal): Promise<void> {
    const tty = (await lab.vm.virsh('b', ['ttyconsole', uuid])).trim();
    for (;;) {
      const { stdout } = await lab.sites.b.host.exec(['sh', '-c', ASK, 'sh', tty], { allowFailure: true });
      if (stdout.includes('q ok ')) return;
      signal.throwIfAborted();
    }
  }

  /** A disk of a copy, as raw bytes. */
  async function contentOf(path: string, format: string): Promise<Buffer> {
    const { host } = lab.sites.b;
    await host.exec(['qemu-img', 'convert', '-f', format, '-O', 'raw', path, '/root/seen.raw']);
    return readFileSync(host.path('/root/seen.raw'));
  }

  test('a copy comes up beside the guest, with what the guest had written, and is undone', async () => {
    await using rehearsal = new Rehearsal();
    await rehearsal.start('many');
    const { signal } = rehearsal;
    const driver = await rehearsal.driver();
    const { findings, diskBytes } = await driver.check({ signal });
    assert.deepEqual(findings, []);
    assert.ok(diskBytes > rehearsal.data.length);
    const prepared = await driver.prepare({ signal });
    assert.deepEqual(
      prepared.flows.map(({ id }) => id),
      ['disk-hda', 'disk-hdb', 'disk-hdc'],
    );
    const percents: number[] = [];
    await rehearsal.copy(driver, prepared, (percent) => percents.push(percent));
    assert.equal(percents.at(-1), 100);
    assert.deepEqual(
      percents,
      percents.toSorted((a, b) => a - b),
    );
    await rehearsal.release(driver, 'source');
    await rehearsal.assertUntouched();

    const paths = rehearsal.journal.filter(({ kind }) => kind === 'volume').map(({ id }) => id);
    const [first = '', second = '', medium = ''] = [...new Set(paths)];
    await assertWritten(await contentOf(first, 'qcow2'), rehearsal.seed);
    const data = await contentOf(second, 'raw');
    assert.equal(data.length, 16 << 20);
    const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
    assert.equal(hash(data.subarray(5 << 20, (5 << 20) + rehearsal.data.length)), hash(rehearsal.data));
    assert.equal(hash(await contentOf(medium, 'raw')), hash(rehearsal.medium));

    const copy = await driver.start(prepared, { signal });
    assert.deepEqual([copy.networks, copy.disks.map(({ name }) => name)], [['br-quiet'], ['hda', 'hdb', 'hdc']]);
    assert.equal(await driver.isRunning({ signal }), true);
    assert.equal((await lab.vm.virsh('b', ['domstate', copy.vm.id])).trim(), 'running');
    assert.match(await lab.vm.virsh('b', ['domiflist', copy.vm.id]), /^\s*vnet\d+\s+bridge\s+br-quiet\s/m);
    // Its kernel runs, and is heard in the network that it was given.
    while (rehearsal.heard.fromOtherNics.b === 0) await pause(50, undefined, { signal });
    assert.match(await lab.vm.virsh('b', ['vncdisplay', copy.vm.id]), /^127\.0\.0\.1:/);
    assert.equal((await lab.vm.list('b')).find(({ uuid }) => uuid === copy.vm.id)?.persistent, false);
    await rehearsal.release(driver);
    await rehearsal.release(driver);
    assert.equal(await driver.isRunning({ signal }), false);
    await rehearsal.assertUndone();
  });

  /** Each sector that holds anything is whole, and is one that the guest wrote: no disk of a machine that lost power has more. */
  async function assertWritten(disk: Buffer, seed: number): Promise<void> {
    let written = 0;
    for (let sector = 0; sector < disk.length / SECTOR_BYTES; sector += 1) {
      const content = disk.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      if (content.every((byte) => byte === 0)) continue;
      let generation = 1;
      while (generation < 256 && !sectorContent(sector, generation, seed).equals(content)) generation += 1;
      assert.ok(generation < 256, `sector ${sector} is none that the guest wrote`);
      written += 1;
    }
    assert.ok(written > 0, 'the guest has written');
  }

  test('a second drill is refused; one whose orchestrator was killed is undone by the next run, and the VM can be drilled again', async () => {
    await using rehearsal = new Rehearsal();
    await rehearsal.start('one-disk');
    const { signal } = rehearsal;
    await (await rehearsal.driver()).prepare({ signal });
    const other = await rehearsal.driver({ migrationId: 'm_other' });
    const { findings } = await other.check({ signal });
    assert.deepEqual(
      findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
      ['DRILL_UNDER_WAY'],
    );
    await assert.rejects(other.prepare({ signal }), { code: 'BUSY' });
    rehearsal.kill();
    const next = await rehearsal.driver();
    assert.equal(await next.isRunning({ signal }), false);
    await rehearsal.release(next);
    await rehearsal.assertUndone();

    rehearsal.journal.length = 0;
    const again = await rehearsal.driver({ networkMap: {} });
    const prepared = await again.prepare({ signal });
    await rehearsal.copy(again, prepared);
    await rehearsal.release(again, 'source');
    const copy = await again.start(prepared, { signal });
    assert.deepEqual(copy.networks, []);
    const nics = await lab.vm.virsh('b', ['domiflist', copy.vm.id]);
    const [, nic = '', mac = ''] = /^\s*(vnet\d+)\s+ethernet\s+-\s+\S+\s+(\S+)/m.exec(nics) ?? [];
    assert.match(await lab.vm.virsh('b', ['domif-getlink', copy.vm.id, mac]), /down/);
    assert.match((await lab.sites.b.host.exec(['ip', '-d', 'link', 'show', nic])).stdout, /tun type tap/);
    await waitUntilItAnswers(copy.vm.id, signal);
    rehearsal.kill();
    const last = await rehearsal.driver();
    assert.equal(await last.isRunning({ signal }), true);
    await rehearsal.release(last);
    await rehearsal.assertUndone();
    assert.deepEqual(rehearsal.heard.fromOtherNics, { a: 0, b: 0 }, 'a copy without a network is not heard');
  });

  /** Codes of the check's findings when the VM's network is mapped to `to`, and what it says. */
  async function seenOf(rehearsal: Rehearsal, to: string): Promise<{ codes: string[]; text: string }> {
    const driver = await rehearsal.driver({ networkMap: { 'br-lab': to } });
    const { findings } = await driver.check({ signal: rehearsal.signal });
    const networks = findings.filter(({ code }) => code.includes('NETWORK'));
    const codes = networks.map(({ severity, code }) => `${severity} ${code}`);
    return { codes, text: networks.map(({ message }) => message).join('\n') };
  }

  test('who else is in a network is found by the kernel and by libvirt, whatever the network is called', async () => {
    await using rehearsal = new Rehearsal();
    await rehearsal.start('one-disk');
    const { host } = lab.sites.b;
    const ip = (...words: string[]) => host.exec(['ip', ...words]);
    const refused = ['blocker DRILL_NETWORK_NOT_ISOLATED'];
    for (const [name, rest] of [
      ['isolated', "<bridge name='virbr7' stp='off'/>"],
      ['bridged', "<forward mode='bridge'/><bridge name='br-quiet'/>"],
    ]) {
      writeFileSync(host.path('/root/network.xml'), `<network><name>${name}</name>${rest}</network>`);
      await lab.vm.virsh('b', ['net-create', '/root/network.xml']);
    }
    try {
      for (const to of ['isolated', 'virbr7', 'bridged', 'br-quiet']) {
        assert.deepEqual(await seenOf(rehearsal, to), { codes: [], text: '' }, to);
      }
      await ip('link', 'add', 'out0', 'type', 'veth', 'peer', 'name', 'out1');
      for (const [bridge, names] of [
        ['virbr7', ['isolated', 'virbr7']],
        ['br-quiet', ['bridged', 'br-quiet']],
      ] as const) {
        await ip('link', 'set', 'dev', 'out0', 'master', bridge);
        for (const to of names) {
          const { codes, text } = await seenOf(rehearsal, to);
          assert.deepEqual(codes, refused, to);
          assert.match(text, /out0 \(veth\)/);
        }
        await ip('link', 'set', 'dev', 'out0', 'nomaster');
      }
      await ip('address', 'add', '192.0.2.65/28', 'dev', 'br-quiet');
      const { codes, text } = await seenOf(rehearsal, 'br-quiet');
      assert.deepEqual(codes, refused);
      assert.match(text, /the host is in it as 192\.0\.2\.65,/);
      await ip('address', 'del', '192.0.2.65/28', 'dev', 'br-quiet');
      await assertOthersAreSeen(rehearsal);
    } finally {
      await host.exec(['ip', 'link', 'del', 'out0'], { allowFailure: true });
      for (const name of ['isolated', 'bridged']) await lab.vm.virsh('b', ['net-destroy', name]);
    }
    await rehearsal.assertUndone();
  });

  /** A copy of another drill is no stranger in the network; a VM is. */
  async function assertOthersAreSeen(rehearsal: Rehearsal): Promise<void> {
    await using other = new Rehearsal();
    await other.start('one-disk');
    const driver = await other.driver();
    const prepared = await driver.prepare({ signal: other.signal });
    await other.copy(driver, prepared);
    await other.release(driver, 'source');
    await driver.start(prepared, { signal: other.signal });
    const nics = await lab.vm.virsh('b', ['domiflist', (await lab.vm.list('b'))[0]?.name ?? '']);
    assert.match(nics, /bridged/, 'the copy is in the network over br-quiet');
    assert.deepEqual((await seenOf(rehearsal, 'br-quiet')).codes, []);

    await lab.vm.define({ name: 'resident', site: 'b', memoryMib: 64, network: 'lab' });
    try {
      await lab.vm.start('b', 'resident');
      const { codes, text } = await seenOf(rehearsal, 'br-lab');
      assert.deepEqual(codes, ['blocker DRILL_NETWORK_NOT_ISOLATED']);
      assert.match(text, /VMs are in it: resident\./);
    } finally {
      await lab.vm.remove('resident');
    }
  }
});
