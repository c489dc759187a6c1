/**
 * The KVM plugin against real libvirt and QEMU in the lab: every way of moving a guest, a cancel at several moments, and
 * the orchestrator's connections cut in every window; each time the guest itself verifies its memory and disk, and no
 * two copies may ever have run.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import {
  type Convergence,
  type EndpointSession,
  type MigrationDriver,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
} from '@lmas/plugin-api';
import { kvmPlugin } from '@lmas/plugin-kvm';
import { type Lab, labDown, labUp, type VmDisk, type VmOptions } from '../lab/src/index.ts';

const NAME = 'kvmplugin';
const MIB = 1024 ** 2;
const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'the lab needs root: run this as root to migrate real guests';
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

type Options = Parameters<typeof kvmPlugin.optionsSchema.parse>[0];
type Kill = 'after-prepare' | 'in-perform' | 'after-perform' | 'in-finish' | 'before-confirm' | 'in-confirm';

describe('real migrations', { skip }, () => {
  let lab: Lab;
  let count = 0;

  before(async () => {
    lab = await labUp({ name: NAME, rateMbit: 1000, rttMs: 20, lossPct: 0 });
    // Peer to peer, the source's daemon has to reach the destination's: plain TCP will do in a lab.
    const { host } = lab.sites.b;
    await host.exec(['sh', '-c', 'printf \'listen_tcp = 1\\nauth_tcp = "none"\\n\' >> /etc/libvirt/libvirtd.conf']);
    await host.killLibvirtd();
    await host.exec([
      'sh',
      '-c',
      'rm -f /run/libvirtd.pid; exec libvirtd --listen --daemon --pid-file /run/libvirtd.pid',
    ]);
  });

  after(async () => {
    assert.deepEqual((await labDown(NAME)).leftovers, []);
  });

  /** One guest, and the orchestrator's side of one migration of it. */
  class Move {
    readonly signal = AbortSignal.timeout(90_000);
    readonly name: string;
    readonly options: Options;
    /** Of the request. */
    maps: { networkMap: Record<string, string>; diskMap: Record<string, string> } = { networkMap: {}, diskMap: {} };
    bandwidthBytesPerSec: number | null = null;
    convergence: Convergence = 'balanced';
    readonly journal: PluginResource[] = [];
    uuid = '';
    nonce = '';
    counter = 0;
    prepared: Prepared | undefined;
    #sampler: ReturnType<Lab['startSampler']> | undefined;
    #sessions: EndpointSession[] = [];
    #run = 0;
    /** Called before each side effect of `confirm`, with its number from 1. */
    onSideEffect: (number: number) => void = () => undefined;
    sideEffects = 0;
    /** What the plugin said in the log, without the words. */
    readonly logged: object[] = [];
    /** What happens between the next look at the record and the call after it, while a stopped process would notice nothing. */
    inTheGap: (() => Promise<void>) | undefined;

    constructor(options: Options) {
      count += 1;
      this.name = `g${count}`;
      this.options = options;
    }

    async start(
      disk: 'shared' | 'local',
      format: 'qcow2' | 'raw',
      network: 'lab' | 'site' = 'lab',
      more: readonly VmDisk[] = [],
      guest: Partial<VmOptions> = {},
    ): Promise<void> {
      const { uuid } = await lab.vm.define({
        ...{ name: this.name, site: 'a', memoryMib: 256, workingSetMib: 64, dirtyPagesPerSec: 3_000 },
        ...{ disks: [{ kind: disk, format, sizeMib: 32 }, ...more], diskSectorsPerSec: 20, network, ...guest },
      });
      this.uuid = uuid;
      await lab.vm.start('a', this.name);
      this.nonce = await lab.vm.setNonce('a', this.name);
      this.counter = (await lab.vm.verify('a', this.name)).counter;
      this.#sampler = lab.startSampler(uuid);
    }

    async session(site: 'a' | 'b'): Promise<EndpointSession> {
      const { ssh, dataAddress } = lab.sites[site].host;
      const config = kvmPlugin.configSchema.parse({
        ...{ host: ssh.host, port: ssh.port, hostKeys: [ssh.hostKeySha256], migrationAddress: dataAddress },
        ...{ sharedPaths: ['/var/lib/lab-shared'], peerToPeer: { uriScheme: 'qemu+tcp' } },
      });
      const privateKey = readFileSync(ssh.privateKeyPath, 'utf8');
      const credential = { kind: 'ssh-key', username: ssh.username, privateKey } as const;
      const run = { migrationId: `m_${this.name}`, token: this.#run };
      const session = await kvmPlugin.connect(config, { log: quiet, credential, run }, { signal: this.signal });
      this.#sessions.push(session);
      return session;
    }

    async driver(): Promise<MigrationDriver> {
      this.#run += 1;
      const run = this.#run;
      const ends = { source: await this.session('a'), destination: await this.session('b') };
      return kvmPlugin.migration(
        ends,
        {
          ...{ migrationId: `m_${this.name}`, vm: { id: this.uuid, name: this.name } },
          options: kvmPlugin.optionsSchema.parse(this.options),
          ...{
            ...this.maps,
            convergence: this.convergence,
            maxDowntimeMs: 500,
            bandwidthBytesPerSec: this.bandwidthBytesPerSec,
            tunnelled: false,
          },
        },
        {
          log: { ...quiet, info: (facts) => this.logged.push(facts) },
          recordIntent: async (resource) => {
            this.journal.push(resource);
          },
          assertCurrent: async () => {
            if (run !== this.#run) throw new PluginError('SUPERSEDED', 'killed');
            this.sideEffects += 1;
            this.onSideEffect(this.sideEffects);
            if (run !== this.#run) throw new PluginError('SUPERSEDED', 'killed');
            const { inTheGap } = this;
            this.inTheGap = undefined;
            await inTheGap?.();
          },
        },
      );
    }

    /** As SIGKILL: the kernel closes every connection, and this run does nothing any more. */
    kill(): void {
      this.#run += 1;
      for (const session of this.#sessions.splice(0)) void session.close();
    }

    async prepare(driver: MigrationDriver): Promise<Prepared> {
      this.prepared = await driver.prepare({ signal: this.signal });
      return this.prepared;
    }

    perform(driver: MigrationDriver, signal = this.signal, onProgress: () => void = () => undefined): Promise<void> {
      const { prepared } = this;
      assert.ok(prepared !== undefined);
      const routes: Routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
      return driver.perform(prepared, routes, { signal, onProgress, onPointOfNoReturn: async () => undefined });
    }

    async migrate(driver: MigrationDriver) {
      const { findings } = await driver.check({ signal: this.signal });
      assert.deepEqual(
        findings.filter(({ severity, code }) => severity !== 'note' && code !== 'PEER_TO_PEER_WINDOW'),
        [],
      );
      const prepared = await this.prepare(driver);
      await this.perform(driver);
      return driver.confirm(prepared, { signal: this.signal });
    }

    async recover(): Promise<'a' | 'b'> {
      const driver = await this.driver();
      const options = { signal: this.signal };
      let placement = await driver.locate(options);
      if (placement.where !== 'destination') placement = await driver.abort(options);
      if (placement.where === 'destination' && this.prepared !== undefined)
        await driver.confirm(this.prepared, options);
      const { where } = await driver.locate(options);
      assert.ok(where === 'source' || where === 'destination', `somewhere: ${JSON.stringify(placement)}`);
      if (where === 'source') {
        for (const resource of this.journal.toReversed()) await driver.release(resource, options);
      }
      return where === 'source' ? 'a' : 'b';
    }

    /** The guest says so itself, and nobody ever saw two. */
    async verifyAt(site: 'a' | 'b'): Promise<void> {
      assert.deepEqual(await lab.copies(this.uuid), { a: site === 'a', b: site === 'b' });
      const seen = await lab.vm.verify(site, this.name);
      assert.deepEqual([seen.badPages, seen.badSectors, seen.diskErrors, seen.nonce], [0, 0, 0, this.nonce]);
      assert.ok(seen.counter > this.counter, 'it did not start anew');
      const sampled = this.#sampler?.stop();
      this.#sampler = undefined;
      assert.equal(sampled?.maxCopies, 1);
      const other = site === 'a' ? 'b' : 'a';
      if (site === 'a') assert.equal(await this.knownAt('b'), false, 'no trace at the destination');
      else if (kvmPlugin.optionsSchema.parse(this.options).undefineAtSource)
        assert.equal(await this.knownAt(other), false);
    }

    async knownAt(site: 'a' | 'b'): Promise<boolean> {
      return (await this.virsh(site, 'list', '--all', '--uuid')).includes(this.uuid);
    }

    async virsh(site: 'a' | 'b', ...command: string[]): Promise<string> {
      return (await lab.sites[site].host.exec(['virsh', ...command])).stdout;
    }

    async startsWithHost(site: 'a' | 'b'): Promise<boolean> {
      return /^Autostart: +enable$/m.test(await this.virsh(site, 'dominfo', this.name));
    }

    async end(): Promise<void> {
      this.#sampler?.stop();
      this.kill();
      for (const site of ['a', 'b'] as const) {
        const { host } = lab.sites[site];
        await host.exec(['virsh', 'destroy', this.name], { allowFailure: true });
        await host.exec(['virsh', 'undefine', this.name], { allowFailure: true });
      }
    }
  }

  const withGuest =
    (options: Options, disk: 'shared' | 'local', format: 'qcow2' | 'raw', body: (move: Move) => Promise<void>) =>
    async (): Promise<void> => {
      const move = new Move(options);
      try {
        await move.start(disk, format);
        await body(move);
      } finally {
        await move.end();
      }
    };

  const ways: [name: string, options: Options, disk: 'shared' | 'local', format: 'qcow2' | 'raw'][] = [
    ['direct, shared disk', {}, 'shared', 'raw'],
    ['direct, copied qcow2, multifd', { parallelConnections: 4 }, 'local', 'qcow2'],
    ['direct, copied raw, definition kept at the source', { undefineAtSource: false }, 'local', 'raw'],
    ['peer to peer, shared disk', { mode: 'peer-to-peer' }, 'shared', 'qcow2'],
    ['peer to peer, copied disk, multifd', { mode: 'peer-to-peer', parallelConnections: 2 }, 'local', 'qcow2'],
  ];
  for (const [name, options, disk, format] of ways) {
    test(
      name,
      withGuest(options, disk, format, async (move) => {
        const report = await move.migrate(await move.driver());
        await move.verifyAt('b');
        assert.deepEqual(report.warnings, []);
        assert.ok((report.iterations ?? 0) >= 2, `several passes: ${report.iterations}`);
        assert.ok((report.downtimeMs ?? 0) > 0);
        assert.equal(report.keptAtSource.filter(({ kind }) => kind === 'disk').length, disk === 'local' ? 1 : 0);
        assert.match(report.sourceDefinition ?? '', new RegExp(`<name>${move.name}</name>`));
      }),
    );
  }

  /** As QEMU counted at the source, and libvirt told the destination. */
  async function completedJob(move: Move): Promise<Record<string, number>> {
    const text = await move.virsh('b', 'domjobinfo', move.name, '--completed', '--keep-completed', '--rawstats');
    return Object.fromEntries([...text.matchAll(/^(\S+): (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  }

  for (const mode of ['direct', 'peer-to-peer'] as const) {
    test(`${mode}, xbzrle: a guest that changes little in more pages than its limit lets go gets across`, async () => {
      const move = new Move({ mode, xbzrleCacheMib: 64 });
      try {
        // All of its working set is written to during each pass: twice as fast as the limit, were the pages sent as they are.
        const guest = { fillMib: 64, workingSetMib: 32, dirtyPagesPerSec: 6_000, littleChangedPercent: 100 };
        await move.start('shared', 'raw', 'lab', [], { memoryMib: 128, ...guest });
        move.bandwidthBytesPerSec = 12 << 20;
        const report = await move.migrate(await move.driver());
        const job = await completedJob(move);
        await move.verifyAt('b');
        assert.ok((report.iterations ?? 0) >= 3, `${report.iterations} passes`);
        const { compression_cache: cacheBytes, compression_pages: pages = 0, compression_bytes: bytes = 0 } = job;
        const { compression_cache_misses: cacheMisses, compression_overflow: overflow = 0 } = job;
        assert.equal(cacheBytes, 64 << 20);
        assert.ok(pages > 5_000, `${pages} pages were in the cache`);
        assert.ok(overflow < pages / 10 && bytes > 0 && bytes / pages < 1_000, `as ${bytes} bytes, ${overflow} whole`);
        assert.deepEqual(move.logged, [{ xbzrle: { cacheBytes, pages, bytes, cacheMisses, overflow } }]);
      } finally {
        await move.end();
      }
    });
  }

  test('disk and network elsewhere: the guest finds its disk at the mapped path, on the mapped bridge', async () => {
    const move = new Move({});
    try {
      await move.start('local', 'qcow2', 'site');
      const path = `/var/lib/libvirt/moved ${move.name}.qcow2`;
      move.maps = { networkMap: { 'br-a': 'br-b' }, diskMap: { hda: path } };
      await move.migrate(await move.driver());
      await move.verifyAt('b');
      for (const flags of [[], ['--inactive']]) {
        const { stdout } = await lab.sites.b.host.exec(['virsh', 'dumpxml', ...flags, move.name]);
        assert.ok(stdout.includes(`file='${path}'`) && stdout.includes(`bridge='br-b'`), stdout);
      }
    } finally {
      await move.end();
    }
  });

  test(
    'the dirty rate: measured by a check and by the load, as much as it does, and next to nothing when it rests',
    withGuest({}, 'shared', 'raw', async (move) => {
      const { signal } = move;
      const [driver, session] = [await move.driver(), await move.session('a')];
      // A page that is sampled stands for 2 MiB, so of what is between these limits some dozens are seen.
      await lab.vm.setDirtyRate('a', move.name, 15_000);
      const { dirtyRateBytesPerSec, dirtyRateErrorBytesPerSec = 0 } = await driver.check({ signal });
      assert.ok((dirtyRateBytesPerSec ?? 0) > 10 * MIB, `a check: ${dirtyRateBytesPerSec}`);
      assert.ok((dirtyRateBytesPerSec ?? 0) < 110 * MIB, `a check: ${dirtyRateBytesPerSec}`);
      assert.ok(dirtyRateErrorBytesPerSec > 4 * MIB && dirtyRateErrorBytesPerSec < 16 * MIB);
      const load = await session.load?.({ signal, intervalMs: 2_500, dirtyRates: true });
      const inLoad = load?.vms.find(({ id }) => id === move.uuid)?.dirtyRateBytesPerSec ?? 0;
      assert.ok(inLoad > 10 * MIB && inLoad < 110 * MIB, `the load: ${inLoad}`);
      await lab.vm.setDirtyRate('a', move.name, 0);
      const resting = await driver.check({ signal });
      assert.ok((resting.dirtyRateBytesPerSec ?? Infinity) < 10 * MIB, `at rest: ${resting.dirtyRateBytesPerSec}`);
      await move.verifyAt('a');
    }),
  );

  test('two guests at once, one of them held back until its limit is lifted', async () => {
    const moves = [new Move({}), new Move({ parallelConnections: 2 })];
    try {
      await Promise.all(moves.map((move) => move.start('shared', 'raw')));
      const [limited, free] = moves;
      assert.ok(limited !== undefined && free !== undefined);
      limited.bandwidthBytesPerSec = 8 * 1024 * 1024;
      [limited.convergence, free.convergence] = ['must-finish', 'fast-switchover'];
      const drivers = [await limited.driver(), await free.driver()] as const;
      await Promise.all([limited.prepare(drivers[0]), free.prepare(drivers[1])]);
      let limitedIsThrough = false;
      const slow = limited.perform(drivers[0]).then(() => {
        limitedIsThrough = true;
      });
      await free.perform(drivers[1]);
      assert.ok(free.prepared !== undefined && limited.prepared !== undefined);
      await drivers[1].confirm(free.prepared, { signal: free.signal });
      assert.equal(limitedIsThrough, false, '256 MiB take half a minute at 8 MiB/s');
      const steer = async (convergence: Convergence, maxDowntimeMs: number | null) =>
        await drivers[0].setConvergence?.({ convergence, maxDowntimeMs }, { signal: limited.signal });
      assert.deepEqual(await steer('must-finish', 1_000), []);
      const kept = await steer('never-pause', null);
      assert.match(kept?.join() ?? '', /fixed when the migration began/);
      await drivers[0].setBandwidth(null, { signal: limited.signal });
      await slow;
      await drivers[0].confirm(limited.prepared, { signal: limited.signal });
      for (const move of moves) await move.verifyAt('b');
    } finally {
      for (const move of moves) await move.end();
    }
  });

  for (const afterMs of [0, 300, 900, 1_600]) {
    test(
      `a cancel ${afterMs} ms into perform leaves the guest at the source, and no volume at the destination`,
      withGuest({}, 'local', 'qcow2', async (move) => {
        const mind = new AbortController();
        const driver = await move.driver();
        await move.prepare(driver);
        setTimeout(() => mind.abort(), afterMs);
        await assert.rejects(move.perform(driver, AbortSignal.any([mind.signal, move.signal])), { code: 'ABORTED' });
        const placement = await driver.abort({ signal: move.signal });
        assert.deepEqual(placement, { source: 'running', destination: 'absent', where: 'source', moving: false });
        for (const resource of move.journal.toReversed()) await driver.release(resource, { signal: move.signal });
        const path = move.journal[0]?.id ?? '';
        assert.notEqual((await lab.sites.b.host.exec(['test', '-e', path], { allowFailure: true })).code, 0);
        await move.verifyAt('a');
      }),
    );
  }

  for (const disk of ['shared', 'local'] as const) {
    test(
      `a VM that starts with its host, and has a checkpoint, arrives whole (${disk} disk)`,
      withGuest({}, disk, 'qcow2', async (move) => {
        await move.virsh('a', 'autostart', move.name);
        await move.virsh('a', 'checkpoint-create-as', move.name, 'c1', '--diskspec', 'hda,checkpoint=bitmap');
        const driver = await move.driver();
        const { findings } = await driver.check({ signal: move.signal });
        assert.deepEqual(
          findings.filter(({ severity }) => severity !== 'note').map(({ code }) => code),
          ['CHECKPOINTS'],
        );
        const prepared = await move.prepare(driver);
        assert.equal(await move.startsWithHost('a'), false);
        await move.perform(driver);
        const report = await driver.confirm(prepared, { signal: move.signal });
        assert.deepEqual(report.warnings, []);
        assert.equal((await move.virsh('b', 'checkpoint-list', '--name', move.name)).trim(), '', 'as the check said');
        assert.equal(await move.startsWithHost('b'), true);
        await move.verifyAt('b');
      }),
    );
  }

  test(
    'a VM that starts with its host does so again where it stays; Pacemaker’s trace refuses it',
    withGuest({}, 'shared', 'raw', async (move) => {
      const { host } = lab.sites.a;
      await move.virsh('a', 'autostart', move.name);
      const driver = await move.driver();
      await move.prepare(driver);
      assert.equal(await move.startsWithHost('a'), false);
      await move.perform(driver);
      move.kill();
      assert.equal(await move.recover(), 'a');
      assert.equal(await move.startsWithHost('a'), true);
      await move.verifyAt('a');
      const trace = `/run/resource-agents/VirtualDomain-${move.name}-emu.state`;
      await host.exec(['sh', '-c', 'mkdir -p "$(dirname "$1")" && echo qemu-system-x86_64 > "$1"', 'sh', trace]);
      const { findings } = await (await move.driver()).check({ signal: move.signal });
      assert.deepEqual(
        findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code),
        ['MANAGED_BY_OTHER'],
      );
    }),
  );

  for (const mode of ['direct', 'peer-to-peer'] as const) {
    test(`the destination defines the VM and cannot start it: it runs on at the source, no definition is left (${mode})`, async () => {
      const move = new Move({ mode, disks: 'shared', allowUnsafe: true });
      const { host } = lab.sites.b;
      const paths = { image: `/var/lib/libvirt/images/g${count}-1.img`, nbd: `/run/lab/g${count}-nbd` };
      try {
        // What is said to be shared is another file there, and somebody writes to it: QEMU does not get its lock.
        await move.start('shared', 'raw', 'lab', [{ kind: 'local', format: 'raw', sizeMib: 8 }]);
        await host.exec(['truncate', '-s', '8M', paths.image]);
        const where = [`--socket=${paths.nbd}.sock`, `--pid-file=${paths.nbd}.pid`];
        await host.exec(['qemu-nbd', '--fork', '--persistent', '--format=raw', ...where, paths.image]);
        const driver = await move.driver();
        const prepared = await move.prepare(driver);
        if (mode === 'direct') {
          await move.perform(driver);
          await assert.rejects(driver.confirm(prepared, { signal: move.signal }), { message: /lock/ });
        } else {
          await assert.rejects(move.perform(driver), { message: /lock/ });
          assert.match(await move.virsh('b', 'domstate', '--reason', move.name), /shut off \(failed\)/);
        }
        const placement = await driver.abort({ signal: move.signal });
        assert.deepEqual(placement, { source: 'running', destination: 'absent', where: 'source', moving: false });
        await move.verifyAt('a');
      } finally {
        await host.exec(['sh', '-c', 'kill "$(cat "$1")"', 'sh', `${paths.nbd}.pid`], { allowFailure: true });
        await move.end();
      }
    });
  }

  const kills: [kill: Kill, at: 'a' | 'b' | undefined][] = [
    ['after-prepare', 'a'],
    ['in-perform', 'a'],
    ['after-perform', 'a'],
    ['in-finish', undefined],
    ['before-confirm', 'b'],
    ['in-confirm', 'b'],
  ];
  for (const [kill, expected] of kills) {
    test(
      `killed ${kill}: a new run brings it to exactly one end within 40 s`,
      withGuest({}, 'shared', 'raw', async (move) => {
        const old = await move.driver();
        const prepared = await move.prepare(old);
        if (kill === 'in-perform') {
          const performing = assert.rejects(move.perform(old, move.signal, () => move.kill()));
          await performing;
        } else if (kill !== 'after-prepare') {
          await move.perform(old);
        }
        move.sideEffects = 0;
        if (kill === 'in-finish' || kill === 'before-confirm' || kill === 'in-confirm') {
          move.onSideEffect = (number) => {
            if (kill === 'before-confirm' && number === 2) move.kill();
            if (kill === 'in-finish' && number === 1) setTimeout(() => move.kill(), 3);
            if (kill === 'in-confirm' && number === 2) setTimeout(() => move.kill(), 2);
          };
          await old.confirm(prepared, { signal: move.signal }).catch(() => undefined);
          move.onSideEffect = () => undefined;
        }
        move.kill();
        const started = performance.now();
        const site = await move.recover();
        assert.ok(performance.now() - started < 40_000);
        if (expected !== undefined) assert.equal(site, expected);
        await move.verifyAt(site);
      }),
    );
  }

  test(
    'taken over between its last look and its Finish: the old run does not reach libvirt any more',
    withGuest({}, 'shared', 'raw', async (move) => {
      const old = await move.driver();
      const prepared = await move.prepare(old);
      await move.perform(old);
      let site: 'a' | 'b' | undefined;
      move.inTheGap = async () => {
        const started = performance.now();
        site = await move.recover();
        // libvirt alone would notice after 30 s.
        assert.ok(performance.now() - started < 15_000);
      };
      await assert.rejects(old.confirm(prepared, { signal: move.signal }), { code: 'OUTCOME_UNKNOWN' });
      assert.equal(site, 'a');
      await move.verifyAt('a');
    }),
  );

  test(
    'the destination daemon is killed during perform: the guest stays, and a second try arrives',
    withGuest({}, 'shared', 'raw', async (move) => {
      const { host } = lab.sites.b;
      const driver = await move.driver();
      await move.prepare(driver);
      let killed: Promise<unknown> | undefined;
      await assert.rejects(
        move.perform(driver, move.signal, () => {
          killed ??= host.killLibvirtd();
        }),
      );
      await killed;
      await host.exec([
        'sh',
        '-c',
        'rm -f /run/libvirtd.pid; exec libvirtd --listen --daemon --pid-file /run/libvirtd.pid',
      ]);
      assert.equal(await move.recover(), 'a');
      await move.migrate(await move.driver());
      await move.verifyAt('b');
    }),
  );

  const startDaemon = (site: 'a' | 'b') =>
    lab.sites[site].host.exec([
      'sh',
      '-c',
      'rm -f /run/libvirtd.pid; exec libvirtd --listen --daemon --pid-file /run/libvirtd.pid',
    ]);

  test(
    'the destination daemon is killed after perform: nothing is resumed while it is away, then the source is',
    withGuest({}, 'shared', 'raw', async (move) => {
      const { host } = lab.sites.b;
      const driver = await move.driver();
      const prepared = await move.prepare(driver);
      await move.perform(driver);
      await host.killLibvirtd();
      // Away for longer than a restart takes.
      const back = setTimeout(() => void startDaemon('b'), 20_000);
      try {
        await assert.rejects(driver.confirm(prepared, { signal: AbortSignal.timeout(3_000) }));
        assert.deepEqual(
          await driver.abort({ signal: AbortSignal.timeout(8_000) }).then(({ where }) => where),
          'unknown',
        );
        assert.deepEqual(await lab.copies(move.uuid), { a: false, b: false });
        assert.equal((await driver.abort({ signal: move.signal })).where, 'source');
      } finally {
        clearTimeout(back);
      }
      await move.verifyAt('a');
    }),
  );

  test(
    'the source daemon is killed after perform: the guest arrives, and the paused copy is cleared when it is back',
    withGuest({}, 'shared', 'raw', async (move) => {
      const driver = await move.driver();
      const prepared = await move.prepare(driver);
      await move.perform(driver);
      await lab.sites.a.host.killLibvirtd();
      await assert.rejects(driver.confirm(prepared, { signal: move.signal }));
      assert.deepEqual((await lab.copies(move.uuid)).b, true);
      await startDaemon('a');
      assert.equal(await move.recover(), 'b');
      await move.verifyAt('b');
    }),
  );

  test(
    'the network to the destination is cut after perform: unknown, until it can be asked again',
    withGuest({}, 'shared', 'raw', async (move) => {
      const { host } = lab.sites.b;
      const driver = await move.driver();
      const prepared = await move.prepare(driver);
      await move.perform(driver);
      await host.setInterface('mgmt', false);
      try {
        await assert.rejects(driver.confirm(prepared, { signal: move.signal }), { code: 'OUTCOME_UNKNOWN' });
        assert.equal((await driver.abort({ signal: move.signal })).where, 'unknown');
        assert.deepEqual(await lab.copies(move.uuid), { a: false, b: false });
      } finally {
        await host.setInterface('mgmt', true);
      }
      move.kill();
      const started = performance.now();
      const site = await move.recover();
      assert.ok(performance.now() - started < 40_000);
      await move.verifyAt(site);
    }),
  );
});
