/**
 * VMs that are powered off, moved between real libvirt hosts: the definition is the same afterwards, what is held cannot be started by
 * anybody, there is always one definition and never two that can be started, also after a kill at every side effect.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  type EndpointSession,
  PluginError,
  type PluginResource,
  type RelocationDriver,
  type RelocationRequest,
} from '@lmas/plugin-api';
import { kvmPlugin } from '@lmas/plugin-kvm';
import type { VmDisk } from '../lab/src/domain.ts';
import { type Lab, labDown, labUp, type SiteName } from '../lab/src/index.ts';

const NAME = 'kvmoff';
const SHARED = '/var/lib/lab-shared';
const NVRAM = '/var/lib/libvirt/qemu/nvram';
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'the lab needs root: run this as root to move real VMs';
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

type Request = RelocationRequest<ReturnType<typeof kvmPlugin.optionsSchema.parse>>;

describe('real VMs that are off', { skip }, () => {
  let lab: Lab;
  let count = 0;

  before(async () => {
    lab = await labUp({ name: NAME, rateMbit: 1000, rttMs: 20, lossPct: 0 });
  });

  after(async () => {
    assert.deepEqual((await labDown(NAME)).leftovers, []);
  });

  /** One VM, and the orchestrator's side of its relocations. */
  class Errand implements AsyncDisposable {
    readonly signal = AbortSignal.timeout(600_000);
    readonly name: string;
    journal: PluginResource[] = [];
    /** As libvirt shows it at the source, with its secrets. */
    before = '';
    uuid = '';
    /** Called before each side effect, with how many came before it. */
    onEffect: (effects: number) => Promise<void> | void = () => undefined;
    #effects = 0;
    #sessions: EndpointSession[] = [];
    #run = 0;

    constructor() {
      count += 1;
      this.name = `off${count}`;
    }

    /** @param change what else there is in its definition */
    async define(
      change: (xml: string) => string = (xml) => xml,
      disks: VmDisk[] = [{ kind: 'shared', format: 'raw', sizeMib: 16 }],
    ): Promise<void> {
      const { uuid, xml } = await lab.vm.define({
        ...{ name: this.name, site: 'a', memoryMib: 64, workingSetMib: 16, network: 'site', disks },
      });
      this.uuid = uuid;
      await lab.vm.defineXml('a', change(xml));
      await lab.vm.virsh('a', ['autostart', this.name]);
      this.before = await lab.vm.xml('a', this.name, '--inactive', '--security-info');
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

    /** As the next run of the same record. */
    async driver(bandwidthBytesPerSec: number | null = null): Promise<RelocationDriver> {
      this.#run += 1;
      this.#effects = 0;
      const run = this.#run;
      const request: Request = {
        ...{ migrationId: `m_${this.name}`, vm: { id: this.uuid, name: this.name }, diskMap: {} },
        options: kvmPlugin.optionsSchema.parse({}),
        ...{ networkMap: { 'br-a': 'br-b' }, bandwidthBytesPerSec, tunnelled: true },
      };
      assert.ok(kvmPlugin.relocation !== undefined);
      return kvmPlugin.relocation(
        { source: await this.#session('a'), destination: await this.#session('b') },
        request,
        {
          log: quiet,
          recordIntent: async (resource) => void this.journal.push(JSON.parse(JSON.stringify(resource))),
          assertCurrent: async () => {
            if (run !== this.#run) throw new PluginError('SUPERSEDED', 'killed');
            await this.onEffect(this.#effects);
            this.#effects += 1;
          },
        },
      );
    }

    async move(driver: RelocationDriver) {
      const { signal } = this;
      const prepared = await driver.prepare({ signal });
      assert.deepEqual(prepared.flows, []);
      await driver.copy(prepared, {}, { signal, onProgress: () => undefined });
      return await driver.place(prepared, { signal });
    }

    /** As SIGKILL: the kernel closes every connection, and this run does nothing any more. */
    kill(): void {
      this.#run += 1;
      for (const session of this.#sessions.splice(0)) void session.close();
    }

    async release(driver: RelocationDriver): Promise<void> {
      for (const resource of this.journal.toReversed()) await driver.release(resource, { signal: this.signal });
      this.journal = [];
    }

    async definitions(): Promise<readonly ['absent' | 'startable' | 'held', 'absent' | 'startable' | 'held']> {
      const one = async (site: SiteName) => {
        const { host } = lab.sites[site];
        const { stdout } = await host.exec(['virsh', 'dumpxml', '--inactive', this.name], { allowFailure: true });
        if (stdout.trim() === '') return 'absent';
        return /held-by-lmas/.test(stdout) ? 'held' : 'startable';
      };
      return [await one('a'), await one('b')];
    }

    async assertSound(): Promise<void> {
      const [here, there] = await this.definitions();
      assert.ok(here !== 'absent' || there !== 'absent', 'one is there at least');
      assert.ok(here !== 'startable' || there !== 'startable', 'never two that can be started');
    }

    async assertUndone(): Promise<void> {
      assert.deepEqual(await this.definitions(), ['startable', 'absent']);
      assert.equal(await lab.vm.xml('a', this.name, '--inactive', '--security-info'), this.before);
      assert.match(await lab.vm.virsh('a', ['dominfo', this.name]), /^Autostart: +enable$/m);
    }

    async assertArrived(): Promise<void> {
      assert.deepEqual(await this.definitions(), ['absent', 'startable']);
      const now = await lab.vm.xml('b', this.name, '--inactive', '--security-info');
      assert.equal(now, this.before.replaceAll("'br-a'", "'br-b'"), 'nothing of it has changed but its network');
      const info = await lab.vm.virsh('b', ['dominfo', this.name]);
      assert.match(info, /^Autostart: +enable$/m);
      assert.match(info, /^State: +shut off$/m);
    }

    async [Symbol.asyncDispose](): Promise<void> {
      this.onEffect = () => undefined;
      const driver = await this.driver();
      await this.release(driver).catch(() => undefined);
      this.kill();
      await lab.vm.remove(this.name);
    }
  }

  const secret = (xml: string) =>
    xml.replace('</devices>', "<graphics type='vnc' autoport='yes' passwd='kept1234'/></devices>");

  test('one moves with all it has, and comes up at the destination; while it is held nobody can start it', async () => {
    await using errand = new Errand();
    await errand.define(secret);
    const { signal } = errand;
    const driver = await errand.driver();
    const { findings, diskBytes } = await driver.check({ signal });
    assert.deepEqual([findings, diskBytes], [[], 0]);
    let wasHeld = false;
    errand.onEffect = async () => {
      await errand.assertSound();
      const [, there] = await errand.definitions();
      if (there !== 'held' || wasHeld) return;
      wasHeld = true;
      await assert.rejects(lab.vm.start('b', errand.name), /held-by-lmas/);
    };
    const report = await errand.move(driver);
    assert.equal(wasHeld, true);
    assert.deepEqual([report.warnings, report.keptAtSource], [[], []]);
    assert.doesNotMatch(report.sourceDefinition ?? 'kept1234', /kept1234/);
    await errand.assertArrived();
    const { where } = await driver.locate({ signal });
    assert.equal(where, 'destination');
    await lab.vm.start('b', errand.name);
    assert.ok(
      (await lab.vm.status('b', errand.name)).counter >= 0,
      'its kernel, which was another while it was held, runs',
    );
  });

  for (const goesOn of [true, false]) {
    test(`killed before each of its side effects it is ${goesOn ? 'gone on with' : 'undone where the source has it still'}`, async () => {
      await using errand = new Errand();
      await errand.define(secret);
      const { signal } = errand;
      for (let last = 0; ; last += 1) {
        errand.onEffect = async (effects) => {
          await errand.assertSound();
          if (effects === last) throw new PluginError('SUPERSEDED', 'killed');
        };
        const first = await errand.driver();
        const prepared = await first.prepare({ signal }).catch(() => undefined);
        const isWhole =
          prepared !== undefined &&
          (await first.place(prepared, { signal }).then(
            () => true,
            () => false,
          ));
        errand.kill();
        errand.onEffect = () => errand.assertSound();
        await errand.assertSound();
        const next = await errand.driver();
        const { where } = await next.locate({ signal });
        if (prepared !== undefined && (goesOn || where === 'destination')) {
          await next.place(prepared, { signal });
          await errand.assertArrived();
          if (isWhole) return;
          await lab.vm.remove(errand.name);
          await errand.define(secret);
          errand.journal = [];
        } else {
          assert.equal(where, 'source');
          await errand.release(next);
          await errand.assertUndone();
        }
      }
    });
  }

  test('disks that only the source has are copied to the byte, and the VM cannot be started meanwhile', async () => {
    await using errand = new Errand();
    await errand.define(secret, [
      { kind: 'local', format: 'qcow2', sizeMib: 32 },
      { kind: 'shared', format: 'raw', sizeMib: 16 },
    ]);
    const { signal } = errand;
    const [a, b] = [lab.sites.a.host, lab.sites.b.host];
    const path = `/var/lib/libvirt/images/${errand.name}-0.qcow2`;
    const data = randomBytes(4 << 20);
    writeFileSync(a.path('/root/data.raw'), Buffer.concat([data, Buffer.alloc(28 << 20)]));
    await a.exec(['qemu-img', 'convert', '-n', '-f', 'raw', '-O', 'qcow2', '/root/data.raw', path]);
    const driver = await errand.driver(1 << 20);
    const { findings, diskBytes } = await driver.check({ signal });
    assert.deepEqual(findings, []);
    assert.ok(diskBytes >= data.length);
    const prepared = await driver.prepare({ signal });
    assert.deepEqual(
      prepared.flows.map(({ id }) => id),
      ['disk-hda'],
    );
    const routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
    const starts: Promise<void>[] = [];
    await driver.copy(prepared, routes, {
      signal,
      onProgress: ({ percent }) => {
        if (starts.length === 0 && percent < 100)
          starts.push(assert.rejects(lab.vm.start('a', errand.name), /lock/i, 'the image is locked while it is read'));
      },
    });
    assert.equal(starts.length, 1);
    await Promise.all(starts);
    const { keptAtSource } = await driver.place(prepared, { signal });
    assert.deepEqual(keptAtSource, [{ kind: 'disk', id: path }]);
    await errand.assertArrived();
    await b.exec(['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', path, '/root/seen.raw']);
    assert.ok(readFileSync(b.path('/root/seen.raw')).equals(readFileSync(a.path('/root/data.raw'))));
    await lab.vm.start('b', errand.name);
    assert.ok((await lab.vm.status('b', errand.name)).counter >= 0);
    await lab.vm.destroy('b', errand.name);
  });

  test('one that ran after its disks were copied stays, and its copy is taken away', async () => {
    await using errand = new Errand();
    await errand.define(secret, [{ kind: 'local', format: 'qcow2', sizeMib: 16 }]);
    const { signal } = errand;
    const driver = await errand.driver();
    const prepared = await driver.prepare({ signal });
    const routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
    await driver.copy(prepared, routes, { signal, onProgress: () => undefined });
    await lab.vm.start('a', errand.name);
    await lab.vm.setDiskRate('a', errand.name, 200);
    await lab.vm.verify('a', errand.name);
    await lab.vm.destroy('a', errand.name);
    await assert.rejects(driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
    await errand.release(driver);
    await errand.assertUndone();
    assert.deepEqual(
      readdirSync(lab.sites.b.host.path('/var/lib/libvirt/images')).filter((file) => file.startsWith(errand.name)),
      [],
    );
  });

  test('one that somebody starts in the moment of the change runs on, and is defined as it was', async () => {
    await using errand = new Errand();
    await errand.define();
    const { signal } = errand;
    const driver = await errand.driver();
    const prepared = await driver.prepare({ signal });
    errand.onEffect = async () => {
      const [here, there] = await errand.definitions();
      if (here === 'startable' && there === 'held' && (await lab.vm.state('a', errand.name)) === 'shut off')
        await lab.vm.start('a', errand.name);
    };
    await assert.rejects(driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
    errand.onEffect = () => undefined;
    assert.equal((await driver.locate({ signal })).where, 'source');
    await errand.release(driver);
    assert.equal(await lab.vm.state('a', errand.name), 'running');
    assert.ok((await lab.vm.status('a', errand.name)).counter >= 0);
    await lab.vm.destroy('a', errand.name);
    await errand.assertUndone();
  });

  test('UEFI variables go along, and what stood in their place is kept', async () => {
    await using errand = new Errand();
    const file = `${NVRAM}/${errand.name}_VARS.fd`;
    const code = '/var/lib/lab-shared/code.fd';
    const [a, b] = [lab.sites.a.host, lab.sites.b.host];
    const variables = randomBytes(64 << 10);
    for (const host of [a, b]) mkdirSync(dirname(host.path(file)), { recursive: true });
    writeFileSync(a.path(file), variables);
    writeFileSync(b.path(file), 'of a VM that is gone');
    writeFileSync(a.path(code), Buffer.alloc(64 << 10));
    const firmware = `<loader readonly='yes' type='pflash'>${code}</loader><nvram>${file}</nvram></os>`;
    await errand.define((xml) => xml.replace(/<kernel>.*<\/cmdline>/s, '').replace('</os>', firmware));
    const { signal } = errand;
    const driver = await errand.driver();
    assert.deepEqual((await driver.check({ signal })).findings, []);
    const { warnings, keptAtSource } = await errand.move(driver);
    await errand.assertArrived();
    assert.deepEqual(readFileSync(b.path(file)), variables);
    assert.deepEqual(keptAtSource, [{ kind: 'nvram', id: file }]);
    const [former] = readdirSync(b.path(NVRAM)).filter((name) => name.startsWith(`${errand.name}_VARS.fd.`));
    assert.match(warnings.join(), new RegExp(`${former}`));
    assert.equal(readFileSync(b.path(`${NVRAM}/${former}`), 'utf8'), 'of a VM that is gone');
    await lab.vm.virsh('b', ['undefine', '--nvram', errand.name]);
  });

  test('a secret that only the source could have is told, until the destination has it', async () => {
    await using errand = new Errand();
    const uuid = '5ec4e700-0000-4000-8000-00000000c01d';
    const encryption = `<encryption format='luks'><secret type='passphrase' uuid='${uuid}'/></encryption>`;
    await errand.define((xml) => xml.replace(/<target dev='hda'/, `${encryption}$&`));
    const { signal } = errand;
    const codes = async () => (await (await errand.driver()).check({ signal })).findings.map(({ code }) => code);
    assert.deepEqual(await codes(), ['SECRET_MISSING']);
    const file = `${SHARED}/secret.xml`;
    writeFileSync(
      lab.sites.b.host.path(file),
      `<secret ephemeral='yes'><uuid>${uuid}</uuid><description>of ${errand.name}</description></secret>`,
    );
    await lab.vm.virsh('b', ['secret-define', file]);
    assert.deepEqual(await codes(), []);
    await lab.vm.virsh('b', ['secret-undefine', uuid]);
  });

  test('one that runs, or whose memory was saved, is not one that is off', async () => {
    await using errand = new Errand();
    await errand.define();
    const { signal } = errand;
    const codes = async () => (await (await errand.driver()).check({ signal })).findings.map(({ code }) => code);
    await lab.vm.start('a', errand.name);
    assert.deepEqual(await codes(), ['VM_NOT_POWERED_OFF']);
    await assert.rejects((await errand.driver()).prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    await lab.vm.virsh('a', ['managedsave', errand.name]);
    assert.deepEqual(await codes(), ['MANAGED_SAVE']);
    await lab.vm.virsh('a', ['managedsave-remove', errand.name]);
    assert.deepEqual(await codes(), []);
  });
});
