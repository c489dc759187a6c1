/** The checks and the volumes against scripted daemons, with real files: every finding, and all of them at once. */
import assert from 'node:assert/strict';
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { MigrationRequest, PluginResource } from '@lmas/plugin-api';
import { type KvmOptions, optionsSchema } from '../config.ts';
import { KvmMigration } from '../migration/driver.ts';
import { ERROR, OPERATION } from '../rpc/constants.ts';
import { type FakeHost, FakeWorld } from '../testing/fake-libvirt/index.ts';

const UUID = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const OTHER = '11111111-2222-3333-4444-555555555555';
const SIZE = 1_048_576;
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const signal = AbortSignal.timeout(60_000);

let root: string;
let a: FakeHost;
let b: FakeHost;
let journal: PluginResource[];
let portRange: { from: number; to: number } | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lmas-check-'));
  for (const site of ['a', 'b']) mkdirSync(join(root, site));
  writeFileSync(join(root, 'a', 'vda.img'), Buffer.alloc(SIZE, 1));
  const world = new FakeWorld();
  a = world.addHost('a', join(root, 'a'));
  b = world.addHost('b', join(root, 'b'));
  a.addGuest('web', UUID);
  journal = [];
  portRange = undefined;
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function driver(
  options: Partial<KvmOptions> = {},
  changes: Partial<MigrationRequest<KvmOptions>> = {},
): Promise<KvmMigration> {
  const request = {
    ...{ migrationId: 'm_1', vm: { id: UUID, name: 'web' }, options: optionsSchema.parse(options) },
    ...{
      networkMap: {},
      diskMap: { vda: join(root, 'b', 'vda.img') },
      convergence: 'balanced' as const,
      maxDowntimeMs: null,
    },
    ...{ bandwidthBytesPerSec: null, tunnelled: false, ...changes },
  };
  const context = {
    ...{ log, assertCurrent: async () => undefined },
    recordIntent: async (resource: PluginResource) => {
      journal.push(resource);
    },
  };
  return new KvmMigration(
    { source: await a.session(signal), destination: await b.session(signal, portRange) },
    request,
    context,
  );
}

async function remedyOf(code: string, migration: KvmMigration): Promise<string> {
  const { findings } = await migration.check({ signal });
  return findings.find((finding) => finding.code === code)?.remedy ?? '';
}

async function codes(migration: KvmMigration): Promise<string[]> {
  const { findings } = await migration.check({ signal });
  for (const { message, remedy } of findings) assert.ok(message.length > 10 && remedy.length > 10);
  return findings.filter(({ severity }) => severity !== 'note').map(({ severity, code }) => `${severity} ${code}`);
}

describe('modes', () => {
  beforeEach(() => writeFileSync(join(root, 'b', 'vda.img'), Buffer.alloc(SIZE)));
  const postCopy = { mode: 'peer-to-peer', postCopy: true, overwriteDisks: true } as const;

  test('direct: what its window is, as a note; peer to peer: that libvirt may make two, as a warning', async () => {
    const { findings } = await (await driver({ overwriteDisks: true })).check({ signal });
    assert.deepEqual(
      findings.map(({ severity, code }) => `${severity} ${code}`),
      ['note DIRECT_MODE_WINDOW'],
    );
    assert.match(findings[0]?.remedy ?? '', /peer-to-peer.*two running copies/);
    const peers = await (await driver({ mode: 'peer-to-peer', overwriteDisks: true })).check({ signal });
    assert.deepEqual(
      peers.findings.map(({ severity, code }) => `${severity} ${code}`),
      ['warning PEER_TO_PEER_WINDOW'],
    );
    assert.match(peers.findings[0]?.remedy ?? '', /direct mode.*virtlockd/);
  });

  test('post-copy says what it risks, and nothing else where all is well', async () => {
    assert.deepEqual(await codes(await driver(postCopy)), ['warning PEER_TO_PEER_WINDOW', 'warning POST_COPY_RISK']);
  });

  test('post-copy wants libvirt 8.5 at both ends, each named', async () => {
    a.libvirtVersion = 8_004_000n;
    b.libvirtVersion = 8_004_000n;
    assert.deepEqual(await codes(await driver(postCopy)), [
      'warning PEER_TO_PEER_WINDOW',
      'blocker POST_COPY_LIBVIRT_TOO_OLD_AT_SOURCE',
      'blocker POST_COPY_LIBVIRT_TOO_OLD_AT_DESTINATION',
      'warning POST_COPY_RISK',
    ]);
    a.libvirtVersion = 8_005_000n;
    b.libvirtVersion = 8_005_000n;
    assert.deepEqual(await codes(await driver(postCopy)), ['warning PEER_TO_PEER_WINDOW', 'warning POST_COPY_RISK']);
  });

  test('post-copy without userfaultfd for everybody is a warning', async () => {
    b.userfaultfd = '0';
    assert.deepEqual(await codes(await driver(postCopy)), [
      'warning PEER_TO_PEER_WINDOW',
      'warning POST_COPY_USERFAULTFD',
      'warning POST_COPY_RISK',
    ]);
  });

  test('post-copy is refused in direct mode, and with parallel connections', () => {
    for (const options of [{ postCopy: true }, { ...postCopy, parallelConnections: 2 }]) {
      const { error } = optionsSchema.safeParse(options);
      assert.deepEqual(
        error?.issues.map(({ path }) => path),
        [['postCopy']],
      );
    }
    assert.equal(optionsSchema.parse({}).postCopy, false);
  });
});

describe('xbzrle', () => {
  beforeEach(() => writeFileSync(join(root, 'b', 'vda.img'), Buffer.alloc(SIZE)));
  const findingsOf = async (options: Partial<KvmOptions>) => codes(await driver({ overwriteDisks: true, ...options }));

  test('a cache up to the size of the guest: nothing to say', async () => {
    for (const xbzrleCacheMib of [0, 1, 1_024]) assert.deepEqual(await findingsOf({ xbzrleCacheMib }), []);
  });

  test('one that is larger than the guest is refused, and says how large either is', async () => {
    const migration = await driver({ overwriteDisks: true, xbzrleCacheMib: 2_048 });
    assert.deepEqual(await codes(migration), ['blocker XBZRLE_CACHE_EXCEEDS_GUEST']);
    const { findings } = await migration.check({ signal });
    const { message } = findings.find(({ code }) => code.startsWith('XBZRLE')) ?? assert.fail('said nothing');
    assert.match(message, /2048 MiB.*1024 MiB of memory/);
  });

  test('one that the source host may have no memory for is warned of; the destination needs none', async () => {
    a.freeMemoryBytes = 127n * 1024n ** 2n;
    assert.deepEqual(await findingsOf({ xbzrleCacheMib: 128 }), ['warning XBZRLE_CACHE_MEMORY_SHORT']);
    a.freeMemoryBytes = 128n * 1024n ** 2n;
    assert.deepEqual(await findingsOf({ xbzrleCacheMib: 128 }), []);
    a.freeMemoryBytes = 1n;
    a.availableMemoryBytes = 128n * 1024n ** 2n;
    assert.deepEqual(await findingsOf({ xbzrleCacheMib: 128 }), []);
  });

  test('before post-copy it is of use from the third pass on', async () => {
    const postCopy = { mode: 'peer-to-peer', postCopy: true, xbzrleCacheMib: 64 } as const;
    const said = async (postCopyAfterPasses: number) => (await findingsOf({ ...postCopy, postCopyAfterPasses })).at(-1);
    assert.equal(await said(2), 'warning XBZRLE_BEFORE_POST_COPY');
    assert.equal(await said(3), 'warning POST_COPY_RISK');
  });

  test('what QEMU never takes is no option: a cache that is no power of two, parallel connections', () => {
    for (const options of [
      { xbzrleCacheMib: 96 },
      { xbzrleCacheMib: 0.5 },
      { xbzrleCacheMib: 64, parallelConnections: 2 },
    ]) {
      const { error } = optionsSchema.safeParse(options);
      assert.deepEqual(
        error?.issues.map(({ path }) => path),
        [['xbzrleCacheMib']],
      );
    }
    assert.equal(optionsSchema.parse({}).xbzrleCacheMib, 0);
  });
});

describe('checks', () => {
  test('a disk that can be copied: nothing to say, and nothing is made', async () => {
    const report = await (await driver()).check({ signal });
    assert.deepEqual(
      report.findings.filter(({ severity }) => severity !== 'note'),
      [],
    );
    assert.deepEqual([report.memoryBytes, report.diskBytes], [1024 ** 3, 65_536]);
    assert.deepEqual(readdirSync(join(root, 'b')), []);
  });

  test('something at the destination already is a blocker, unless it may be overwritten and has the right size', async () => {
    const target = join(root, 'b', 'vda.img');
    writeFileSync(target, Buffer.alloc(SIZE / 2));
    assert.deepEqual(await codes(await driver()), ['blocker DESTINATION_DISK_EXISTS']);
    assert.deepEqual(await codes(await driver({ overwriteDisks: true })), ['blocker DESTINATION_DISK_SIZE']);
    writeFileSync(target, Buffer.alloc(SIZE));
    assert.deepEqual(await codes(await driver({ overwriteDisks: true })), []);
  });

  test('what a copy is written over has its room already', async () => {
    const target = join(root, 'b', 'vda.img');
    b.freeDiskBytes = 4_096;
    assert.deepEqual(await codes(await driver()), ['blocker SPACE_SHORT']);
    writeFileSync(target, Buffer.alloc(SIZE, 1));
    assert.deepEqual(await codes(await driver({}, { mayReplace: [target] })), []);
    assert.ok(
      (await codes(await driver())).includes('blocker SPACE_SHORT'),
      'of what is not to be overwritten nothing is taken',
    );
  });

  test('what an earlier move of the VM has left there may be copied over, and nothing else', async () => {
    const target = join(root, 'b', 'vda.img');
    writeFileSync(target, Buffer.alloc(SIZE, 7));
    assert.deepEqual(await codes(await driver({}, { mayReplace: [join(root, 'b', 'vdb.img')] })), [
      'blocker DESTINATION_DISK_EXISTS',
    ]);
    assert.deepEqual(await codes(await driver({}, { mayReplace: [target] })), []);
  });

  test('what another VM there uses is not copied over, also when that is off, and whatever may be overwritten', async () => {
    const target = join(root, 'b', 'vda.img');
    writeFileSync(target, Buffer.alloc(SIZE, 7));
    b.addGuest('other', OTHER);
    for (const isOff of [false, true]) {
      if (isOff) b.endGuest(OTHER);
      for (const migration of [await driver({ overwriteDisks: true }), await driver({}, { mayReplace: [target] })]) {
        assert.deepEqual(await codes(migration), ['blocker DESTINATION_DISK_IN_USE']);
        const { findings } = await migration.check({ signal });
        assert.match(
          findings.find(({ code }) => code === 'DESTINATION_DISK_IN_USE')?.message ?? '',
          /the VM other there/,
        );
        await assert.rejects(migration.prepare({ signal }), { code: 'BUSY', message: /overwritten: the VM other of/ });
      }
    }
    assert.deepEqual(readFileSync(target), Buffer.alloc(SIZE, 7));
    assert.ok(!b.calls.includes('domainMigratePrepare3Params'));
  });

  test('a copy onto itself is refused, whatever the options say', async () => {
    linkSync(join(root, 'a', 'vda.img'), join(root, 'b', 'vda.img'));
    assert.deepEqual(await codes(await driver({ overwriteDisks: true, disks: 'copy' })), ['blocker DISK_IS_SHARED']);
  });

  test('a shared disk has to be there, and the same', async () => {
    assert.deepEqual(await codes(await driver({ disks: 'shared' })), ['blocker SHARED_DISK_MISSING']);
    writeFileSync(join(root, 'b', 'vda.img'), Buffer.alloc(SIZE));
    assert.deepEqual(await codes(await driver({ disks: 'shared' })), ['blocker SHARED_DISK_DIFFERS']);
  });

  test('everything that is wrong is told at once', async () => {
    b.addGuest('web', UUID);
    const migration = await driver(
      { mode: 'peer-to-peer' },
      { networkMap: { default: 'nowhere', Default: 'lan' }, diskMap: { vdz: '/x', vda: '/dev/lmas-no-such-device' } },
    );
    assert.deepEqual(await codes(migration), [
      'blocker VM_KNOWN_AT_DESTINATION',
      'blocker NETWORK_UNKNOWN',
      'blocker NETWORK_MISSING',
      'blocker DISK_UNKNOWN',
      'blocker DESTINATION_DEVICE_MISSING',
      'warning PEER_TO_PEER_WINDOW',
    ]);
    assert.match(await remedyOf('DISK_UNKNOWN', migration), /its disks are vda\./);
  });

  test('a disk that cannot be looked at is a blocker, and takes nothing along of what was found before it', async () => {
    b.failingCommands.set('sh', 126);
    assert.deepEqual(await codes(await driver({}, { diskMap: { vdz: '/x', vda: join(root, 'b', 'vda.img') } })), [
      'blocker DISK_UNKNOWN',
      'blocker DISK_NOT_CHECKED',
      'warning CHECK_NOT_POSSIBLE', // space
      'warning CHECK_NOT_POSSIBLE', // ports
    ]);
  });

  test('free space that cannot be read takes nothing along either', async () => {
    writeFileSync(join(root, 'b', 'vda.img'), Buffer.alloc(SIZE, 7));
    b.failingCommands.set('stat', 126);
    assert.deepEqual(await codes(await driver()), ['blocker DESTINATION_DISK_EXISTS', 'warning CHECK_NOT_POSSIBLE']);
  });

  test('a source that does not say what kind of job it has', async () => {
    a.libvirtVersion = 3_002_000n;
    assert.ok((await codes(await driver())).includes('blocker LIBVIRT_TOO_OLD_AT_SOURCE'));
    a.libvirtVersion = 3_003_000n;
    assert.ok(!(await codes(await driver())).includes('blocker LIBVIRT_TOO_OLD_AT_SOURCE'));
  });

  test('Pacemaker is told by the file that its agent leaves at the source: of this VM, and of no other one', async () => {
    const agents = join(root, 'run', 'resource-agents');
    mkdirSync(agents, { recursive: true });
    a.runDirectory = join(root, 'run');
    for (const other of ['web2', 'my-web']) {
      writeFileSync(join(agents, `VirtualDomain-${other}-emu.state`), 'qemu-system-x86_64\n');
    }
    assert.deepEqual(await codes(await driver()), []);
    writeFileSync(join(agents, 'VirtualDomain-web-emu.state'), 'qemu-system-x86_64\n');
    assert.deepEqual(await codes(await driver()), ['blocker MANAGED_BY_OTHER']);
    assert.deepEqual(await codes(await driver({ allowManaged: true })), ['warning MANAGED_BY_OTHER']);
    a.failingCommands.set('sh', 126);
    assert.ok((await codes(await driver())).includes('warning CHECK_NOT_POSSIBLE'));
  });

  test('checkpoints of backups do not come along, which is told', async () => {
    a.guest(UUID).checkpoints = 2;
    assert.deepEqual(await codes(await driver()), ['warning CHECKPOINTS']);
    a.on('domainListAllCheckpoints', { do: 'refuse', number: ERROR.NO_SUPPORT });
    assert.deepEqual(await codes(await driver()), []);
  });

  test('a job of somebody else is told of', async () => {
    const guest = a.guests.get(UUID);
    assert.ok(guest !== undefined);
    guest.foreignJob = OPERATION.backup;
    assert.deepEqual(await codes(await driver()), ['blocker VM_BUSY']);
    assert.match(await remedyOf('VM_BUSY', await driver()), /virsh domjobabort/);
  });

  test('a destination whose caches could make room for the guest is not short of memory', async () => {
    b.freeMemoryBytes = 1n;
    assert.deepEqual(await codes(await driver()), ['warning MEMORY_SHORT']);
    b.availableMemoryBytes = 1024n ** 3n;
    assert.deepEqual(await codes(await driver()), []);
  });

  test('a host check that cannot be made takes no other one along', async () => {
    b.on('nodeGetFreeMemory', { do: 'refuse', number: ERROR.INTERNAL_ERROR });
    assert.deepEqual(await codes(await driver({}, { networkMap: { default: 'nowhere' } })), [
      'warning CHECK_NOT_POSSIBLE',
      'blocker NETWORK_MISSING',
    ]);
  });

  for (const host of ['127.0.0.1', '::1']) {
    test(`ports that somebody listens on are not free: two are needed for a copied disk, one without (${host})`, async () => {
      // A pair of neighbours, one of them taken.
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      try {
        const { port } = server.address() as AddressInfo;
        portRange = { from: port, to: port + 1 };
        assert.deepEqual(await codes(await driver()), ['blocker PORTS_SHORT']);
        writeFileSync(join(root, 'b', 'vda.img'), '');
        const shared = await codes(await driver({ disks: 'shared' }));
        assert.ok(!shared.includes('blocker PORTS_SHORT'));
      } finally {
        server.close();
      }
    });
  }

  test('ports that other migrations have leased are not free', async () => {
    portRange = { from: 49_216, to: 49_217 };
    const first = await driver();
    await first.prepare({ signal });
    rmSync(join(root, 'b', 'vda.img'));
    assert.ok((await codes(await driver())).includes('blocker PORTS_SHORT'));
    await first.abort({ signal });
    assert.ok(!(await codes(await driver())).includes('blocker PORTS_SHORT'));
  });

  test('a directory that is not there', async () => {
    const migration = await driver({}, { diskMap: { vda: join(root, 'nowhere', 'vda.img') } });
    assert.deepEqual(await codes(migration), ['blocker DESTINATION_DIRECTORY_MISSING']);
  });

  test('another VM of that name is in the way', async () => {
    b.addGuest('web', '11111111-2222-3333-4444-555555555555');
    assert.deepEqual(await codes(await driver()), ['blocker NAME_TAKEN_AT_DESTINATION']);
    assert.match(await remedyOf('NAME_TAKEN_AT_DESTINATION', await driver()), /virsh domrename/);
  });

  test('no such VM', async () => {
    const migration = await driver({}, { vm: { id: '11111111-2222-3333-4444-555555555555', name: 'x' } });
    await assert.rejects(migration.check({ signal }), { code: 'VM_NOT_FOUND' });
  });
});

describe('volumes', () => {
  const target = (): string => join(root, 'b', 'vda.img');

  test('made where missing, journalled before and after, private, and taken away by a rollback', async () => {
    const migration = await driver();
    await migration.prepare({ signal });
    assert.equal(statSync(target()).size, SIZE);
    assert.equal(statSync(target()).mode & 0o077, 0);
    assert.deepEqual(
      journal.map(({ kind, id, end, data }) => [kind, id, end, data.made]),
      [
        ['volume', target(), 'destination', false],
        ['volume', target(), 'destination', true],
      ],
    );
    await migration.abort({ signal });
    for (const resource of journal.toReversed()) await migration.release(resource, { signal });
    assert.deepEqual(readdirSync(join(root, 'b')), []);
    for (const resource of journal.toReversed()) await migration.release(resource, { signal });
  });

  test('what was there is used, and never taken away', async () => {
    writeFileSync(target(), Buffer.alloc(SIZE, 7));
    const migration = await driver({ overwriteDisks: true });
    await migration.prepare({ signal });
    assert.deepEqual(journal, []);
    await migration.abort({ signal });
    assert.equal(statSync(target()).size, SIZE);
  });

  test('what an earlier move of the VM has left is used as well', async () => {
    writeFileSync(target(), Buffer.alloc(SIZE, 7));
    const migration = await driver({}, { mayReplace: [target()] });
    await migration.prepare({ signal });
    assert.deepEqual(journal, []);
    await migration.abort({ signal });
    assert.equal(statSync(target()).size, SIZE);
  });

  test('what has come after the checks is not overwritten', async () => {
    const migration = await driver();
    assert.deepEqual(await codes(migration), []);
    writeFileSync(target(), Buffer.alloc(SIZE, 7));
    await assert.rejects(migration.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    assert.deepEqual(readFileSync(target()), Buffer.alloc(SIZE, 7));
    assert.deepEqual(journal, []);
    assert.ok(!b.calls.includes('domainMigratePrepare3Params'));
  });

  test('the disk itself is not overwritten, whatever the options say, also while the guest writes to it', async () => {
    const migration = await driver({ overwriteDisks: true, disks: 'copy' });
    linkSync(join(root, 'a', 'vda.img'), target());
    b.beforeCommand = () => utimesSync(target(), new Date(), new Date(Date.now() - 45_000));
    a.beforeCommand = () => utimesSync(target(), new Date(), new Date());
    assert.deepEqual(await codes(migration), ['blocker DISK_IS_SHARED']);
    await assert.rejects(migration.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    assert.ok(!b.calls.includes('domainMigratePrepare3Params'));
  });

  test('a mere intent takes away only an empty volume of our size', async () => {
    const migration = await driver();
    const intent: PluginResource = {
      ...{ kind: 'volume', id: target(), end: 'destination' },
      data: { migrationId: 'm_1', via: 'image', format: 'raw', capacityBytes: 4 * SIZE, made: false },
    };
    await migration.release(intent, { signal });
    writeFileSync(target(), Buffer.alloc(4 * SIZE, 7));
    await migration.release(intent, { signal });
    assert.equal(statSync(target()).size, 4 * SIZE, 'it holds somebody’s data');
    rmSync(target());
    writeFileSync(target(), Buffer.alloc(SIZE, 7));
    await migration.release(intent, { signal });
    assert.equal(statSync(target()).size, SIZE, 'it is not of our size');
  });

  describe('a rollback that comes late', () => {
    const made = (): PluginResource => ({
      ...{ kind: 'volume', id: target(), end: 'destination' },
      data: { migrationId: 'm_1', via: 'image', format: 'raw', capacityBytes: SIZE, made: true },
    });
    beforeEach(() => writeFileSync(target(), Buffer.alloc(SIZE, 7)));
    const expectKept = async (code: string): Promise<void> => {
      await assert.rejects(async () => (await driver()).release(made(), { signal }), { code });
      assert.equal(statSync(target()).size, SIZE);
    };

    test('keeps the disk of the VM that a later migration has brought there', async () => {
      b.addGuest('web', UUID);
      await expectKept('BUSY');
    });

    test('keeps the disk of any other VM there, also of one that is off, and under another name of the file', async () => {
      const other = '11111111-2222-3333-4444-555555555555';
      b.addGuest('other', other);
      await expectKept('BUSY');
      b.endGuest(other);
      await expectKept('BUSY');
      b.files = join(root, 'alias');
      symlinkSync(join(root, 'b'), b.files);
      await expectKept('BUSY');
      b.files = join(root, 'a');
      await (await driver()).release(made(), { signal });
      assert.deepEqual(readdirSync(join(root, 'b')), []);
    });

    test('keeps everything while the daemon there does not answer', async () => {
      const migration = await driver();
      b.setDown(true);
      await assert.rejects(migration.release(made(), { signal }));
      assert.equal(statSync(target()).size, SIZE);
      b.setDown(false);
      await migration.release(made(), { signal });
      assert.deepEqual(readdirSync(join(root, 'b')), []);
    });

    test('keeps it when the daemon cannot tell what a VM uses', async () => {
      b.addGuest('other', '11111111-2222-3333-4444-555555555555');
      b.on('domainGetXmlDesc', { do: 'refuse', number: ERROR.INTERNAL_ERROR });
      await expectKept('HYPERVISOR_FAULT');
    });
  });

  test('a resource of an unknown kind is refused, not guessed at', async () => {
    const resource: PluginResource = { kind: 'planet', id: 'mars', end: 'destination', data: {} };
    await assert.rejects((await driver()).release(resource, { signal }), { code: 'INVALID_CONFIG' });
  });
});
