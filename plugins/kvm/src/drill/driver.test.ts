/**
 * One drill against scripted daemons, with the real programs that copy the disks: what the compliance suite does not ask of every
 * plugin. kvm-drill.lab.test.ts does the same with real hosts.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { DrillRequest, Finding, MigrationProgress, PluginResource, Prepared, Routes } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { OPERATION, STATE } from '../rpc/constants.ts';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { KvmDrill } from './driver.ts';
import { drillNames } from './names.ts';

const run = promisify(execFile);
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const signal = AbortSignal.timeout(60_000);
const ID = 'm_6d4b1f0a-0000-4000-8000-000000000001';

/** A drill, and what it has journalled. */
class Rehearsal implements AsyncDisposable {
  readonly world = new FakeDrillWorld();
  readonly journal: PluginResource[] = [];

  async driver(changes: Partial<DrillRequest<KvmOptions>> = {}): Promise<KvmDrill> {
    const { vm, options, networkMap } = this.world;
    const request = {
      migrationId: ID,
      vm,
      options,
      networkMap,
      diskMap: {},
      bandwidthBytesPerSec: null,
      tunnelled: false,
    };
    const recordIntent = async (resource: PluginResource): Promise<void> => {
      this.journal.push(resource);
    };
    const context = { log, recordIntent, assertCurrent: async () => undefined };
    return new KvmDrill(await this.world.connect(), { ...request, ...changes }, context);
  }

  async findings(changes: Partial<DrillRequest<KvmOptions>> = {}): Promise<readonly Finding[]> {
    return (await (await this.driver(changes)).check({ signal })).findings;
  }

  async codes(changes: Partial<DrillRequest<KvmOptions>> = {}): Promise<string[]> {
    return (await this.findings(changes)).map(({ severity, code }) => `${severity} ${code}`);
  }

  async undo(driver: KvmDrill): Promise<void> {
    for (const resource of this.journal.toReversed()) await driver.release(resource, { signal });
    assert.deepEqual(await this.world.leftovers(), []);
    assert.equal(this.world.source.guest(this.world.vm.id).state, STATE.running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const resource of this.journal.toReversed()) {
      await (await this.driver()).release(resource, { signal }).catch(() => undefined);
    }
    this.world.killOrchestrator();
    await this.world[Symbol.asyncDispose]();
  }
}

const routesOf = ({ flows }: Prepared): Routes =>
  Object.fromEntries(flows.map(({ id, host, port }) => [id, { host, port }]));

test('the copy has what the disk held when it was prepared, to the byte; then nothing listens any more', async () => {
  await using rehearsal = new Rehearsal();
  const { world } = rehearsal;
  const driver = await rehearsal.driver();
  const prepared = await driver.prepare({ signal });
  const [flow] = prepared.flows;
  assert.deepEqual([flow?.id, flow?.host, flow?.priority], ['disk-vda', '127.0.0.1', 'bulk']);
  // The guest goes on writing.
  writeFileSync(world.source.files.concat('/vda.img'), Buffer.alloc(world.content.length, 7));
  const progress: MigrationProgress[] = [];
  const options = { signal, onProgress: (step: MigrationProgress) => progress.push(step) };
  await driver.copy(prepared, routesOf(prepared), options);
  assert.equal(progress.at(-1)?.percent, 100);
  const [path = ''] = readdirSync(world.destination.files);
  assert.match(path, /^web-drill-[0-9a-f]{8}-vda\.img$/);
  assert.ok(readFileSync(`${world.destination.files}/${path}`).equals(world.content));
  await assert.rejects(run('qemu-img', ['info', `nbd://127.0.0.1:${flow?.port}/vda`]), /refused/);
  const { vm, networks } = await driver.start(prepared, { signal });
  assert.deepEqual([vm.name.startsWith('web-drill-'), networks], [true, ['quiet']]);
  await rehearsal.undo(await rehearsal.driver());
});

test('a network that has been opened while the disks crossed gets no copy', async () => {
  await using rehearsal = new Rehearsal();
  const { world } = rehearsal;
  const driver = await rehearsal.driver();
  const prepared = await driver.prepare({ signal });
  await driver.copy(prepared, routesOf(prepared), { signal, onProgress: () => undefined });
  world.destination.bridges.get('virbr7')?.ports.set('eth0', undefined);
  await assert.rejects(driver.start(prepared, { signal }), {
    code: 'INCOMPATIBLE',
    message: /eth0 \(a network card\)/,
  });
  assert.deepEqual(await world.copies(), []);
  await rehearsal.undo(driver);
});

test('a qemu-img that cannot be told that the copy is empty copies to the byte as well, and nothing that is zero', async () => {
  await using rehearsal = new Rehearsal();
  const { world } = rehearsal;
  world.source.qemuVersion = '4.2.1';
  const driver = await rehearsal.driver();
  assert.deepEqual(await rehearsal.codes(), []);
  const prepared = await driver.prepare({ signal });
  await driver.copy(prepared, routesOf(prepared), { signal, onProgress: () => undefined });
  const [path = ''] = readdirSync(world.destination.files);
  const copy = `${world.destination.files}/${path}`;
  assert.ok(readFileSync(copy).equals(world.content));
  assert.ok(statSync(copy).blocks * 512 < world.content.length, 'half of it is zero');
  await rehearsal.undo(driver);
});

test('who has no key is refused, and the key is in no command line, no record and no file of others', async () => {
  await using rehearsal = new Rehearsal();
  const driver = await rehearsal.driver();
  const prepared = await driver.prepare({ signal });
  const port = prepared.flows[0]?.port;
  await assert.rejects(run('qemu-img', ['info', `nbd://127.0.0.1:${port}/vda`]), /TLS|tls/);
  const { keyDirectory } = drillNames(ID, 'web');
  const file = `${keyDirectory.destination}/keys.psk`;
  const [, key = ''] = readFileSync(file, 'utf8').trim().split(':');
  assert.equal(key.length, 64);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(statSync(keyDirectory.destination).mode & 0o777, 0o700);
  assert.ok(!JSON.stringify([prepared, rehearsal.journal]).includes(key));
  assert.ok(!(await run('ps', ['-eo', 'args=', '-ww'])).stdout.includes(key));
  await rehearsal.undo(driver);
});

test('a bandwidth limit is given to what copies', async () => {
  await using rehearsal = new Rehearsal();
  const driver = await rehearsal.driver({ bandwidthBytesPerSec: 1_000_000 });
  const prepared = await driver.prepare({ signal });
  let command: readonly string[] = [];
  rehearsal.world.source.beforeCommand = (line) => {
    if (line[1] === 'convert') command = line;
  };
  await driver.copy(prepared, routesOf(prepared), { signal, onProgress: () => undefined });
  assert.equal(command[command.indexOf('-r') + 1], '1000000');
  await rehearsal.undo(driver);
});

describe('the check', () => {
  test('has nothing to say where all is well, and says what is not connected', async () => {
    await using rehearsal = new Rehearsal();
    assert.deepEqual(await rehearsal.codes(), []);
    assert.deepEqual(await rehearsal.codes({ networkMap: {} }), ['warning DRILL_NETWORK_NOT_MAPPED']);
  });

  test('refuses a network that leads anywhere, or is not there; so does prepare', async () => {
    await using rehearsal = new Rehearsal();
    for (const [to, code] of [
      ['default', 'DRILL_NETWORK_NOT_ISOLATED'],
      ['virbr0', 'DRILL_NETWORK_NOT_ISOLATED'],
      ['nowhere', 'NETWORK_MISSING'],
    ] as const) {
      const changes = { networkMap: { default: to } };
      assert.deepEqual(await rehearsal.codes(changes), [`blocker ${code}`]);
      await assert.rejects((await rehearsal.driver(changes)).prepare({ signal }), { code: 'INCOMPATIBLE' });
    }
    assert.deepEqual(rehearsal.journal, []);
  });

  test('a second drill of a VM is refused while the first copies, and while its copy is there', async () => {
    await using rehearsal = new Rehearsal();
    const driver = await rehearsal.driver();
    const prepared = await driver.prepare({ signal });
    const other = { migrationId: 'm_6d4b1f0a-0000-4000-8000-000000000002' };
    assert.deepEqual(await rehearsal.codes(other), ['blocker DRILL_UNDER_WAY']);
    await assert.rejects((await rehearsal.driver(other)).prepare({ signal }), { code: 'BUSY' });
    await driver.copy(prepared, routesOf(prepared), { signal, onProgress: () => undefined });
    const backup = rehearsal.journal.find(({ kind }) => kind === 'backup');
    assert.ok(backup !== undefined);
    await driver.release(backup, { signal });
    await driver.start(prepared, { signal });
    assert.deepEqual(await rehearsal.codes(other), ['blocker DRILL_UNDER_WAY']);
    await rehearsal.undo(driver);
    assert.deepEqual(await rehearsal.codes(other), []);
  });

  test('another job is left alone, and refuses the drill', async () => {
    await using rehearsal = new Rehearsal();
    rehearsal.world.source.guest(rehearsal.world.vm.id).foreignJob = OPERATION.migrationOut + 1;
    assert.deepEqual(await rehearsal.codes(), ['blocker VM_BUSY']);
    const driver = await rehearsal.driver();
    await assert.rejects(driver.prepare({ signal }), { code: 'BUSY' });
    await rehearsal.undo(driver);
    assert.deepEqual(rehearsal.world.source.world.violations, []);
  });

  test('programs of a QEMU that is too old are named, also for a limit that they could not keep', async () => {
    await using rehearsal = new Rehearsal();
    const { source, destination } = rehearsal.world;
    const codesWith = async (versions: readonly [string, string], bandwidthBytesPerSec: number | null = null) => {
      [source.qemuVersion, destination.qemuVersion] = versions;
      return await rehearsal.codes({ bandwidthBytesPerSec });
    };
    const tooOld = ['blocker PROGRAM_TOO_OLD'];
    assert.deepEqual(await codesWith(['4.1.9', '4.2.0']), tooOld);
    assert.deepEqual(await codesWith(['4.2.0', '4.0.0']), tooOld);
    assert.deepEqual(await codesWith(['4.2.0', '4.2.0']), []);
    assert.deepEqual(await codesWith(['5.1.0', '4.2.0'], 1_000_000), tooOld);
    assert.deepEqual(await codesWith(['5.2.0', '4.2.0'], 1_000_000), []);
    assert.deepEqual(await codesWith(['10.1.0', '10.1.0'], 1_000_000), []);
    assert.deepEqual(await codesWith(['of mine', '10.1.0']), ['warning CHECK_NOT_POSSIBLE']);
  });

  test('what is too old or missing is named', async () => {
    await using rehearsal = new Rehearsal();
    rehearsal.world.source.libvirtVersion = 5_010_000n;
    rehearsal.world.source.guest(rehearsal.world.vm.id).state = STATE.paused;
    assert.deepEqual(
      await rehearsal.codes({ options: { ...rehearsal.world.options, drill: { directory: '/nowhere' } } }),
      [
        'blocker VM_NOT_RUNNING',
        'blocker LIBVIRT_TOO_OLD_AT_SOURCE',
        'blocker DESTINATION_DIRECTORY_MISSING',
        'warning CHECK_NOT_POSSIBLE',
      ],
    );
  });
});

test('release touches nothing of another drill: not its backup, its files, its receivers or its copy', async () => {
  await using rehearsal = new Rehearsal();
  const driver = await rehearsal.driver();
  await driver.prepare({ signal });
  const before = await rehearsal.world.leftovers();
  const other = await rehearsal.driver({ migrationId: 'm_6d4b1f0a-0000-4000-8000-000000000003' });
  for (const resource of rehearsal.journal) {
    await assert.rejects(other.release(resource, { signal }), { code: 'INVALID_CONFIG' });
  }
  assert.deepEqual(await rehearsal.world.leftovers(), before);
  assert.ok(rehearsal.world.source.guest(rehearsal.world.vm.id).backup !== null);
  await rehearsal.undo(driver);
});
