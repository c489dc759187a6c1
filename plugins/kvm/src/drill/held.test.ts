/** Of real images, also while a process of QEMU's has them open for writing, as it has those of a VM that runs. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { DiskDefinition } from '../definition/definition.ts';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { heldBytes } from './held.ts';

const signal = AbortSignal.timeout(60_000);
const MIB = 1 << 20;
const CAPACITY = 1024 * MIB;
const directory = mkdtempSync(join(tmpdir(), 'lmas-held-'));
after(() => rmSync(directory, { recursive: true }));

const create = (format: string, name: string, ...more: string[]): string => {
  const path = join(directory, name);
  execFileSync('qemu-img', ['create', '-q', '-f', format, ...more, path, String(CAPACITY)]);
  return path;
};
const write = (format: string, path: string, mib: number) =>
  execFileSync('qemu-io', ['-f', format, '-c', `write -P 1 0 ${mib}M`, path]);

/** Opened for writing, as a VM's with its default cache, and told what to do. */
class Writer implements AsyncDisposable {
  readonly #process;

  constructor(format: string, path: string) {
    this.#process = spawn('qemu-io', ['-t', 'writeback', '-f', format, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  }

  async write(mib: number): Promise<void> {
    this.#process.stdin.write(`write -P 1 100M ${mib}M\n`);
    for (let said = ''; !said.includes(' ops; '); ) said += String((await once(this.#process.stdout, 'data'))[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = once(this.#process, 'exit');
    this.#process.stdin.end('quit\n');
    await gone;
  }
}

async function held(format: string, location: string, changes: Partial<DiskDefinition> = {}): Promise<number> {
  await using world = new FakeDrillWorld();
  const disk: DiskDefinition = {
    ...{ name: 'vda', device: 'disk', sourceType: 'file', location, format, cache: undefined },
    ...{ readOnly: false, shareable: false, transient: false, hasBacking: false, ...changes },
  };
  return await heldBytes(world.source.transport(), disk, CAPACITY, { signal });
}

function assertAbout(bytes: number, mib: number): void {
  assert.ok(bytes >= mib * MIB && bytes < (mib + 2) * MIB, `${bytes} bytes for ${mib} MiB`);
}

for (const format of ['qcow2', 'raw']) {
  test(`what a running QEMU has written counts at once, before anybody flushes (${format})`, async () => {
    const path = create(format, `used.${format}`);
    await using writer = new Writer(format, path);
    await writer.write(1);
    assertAbout(await held(format, path), 1);
    await writer.write(64);
    assertAbout(await held(format, path), 64);
  });
}

test('of a compressed image counts what is in it', async () => {
  const path = create('raw', 'packed.img');
  write('raw', path, 32);
  const packed = join(directory, 'packed.qcow2');
  execFileSync('qemu-img', ['convert', '-c', '-f', 'raw', '-O', 'qcow2', path, packed]);
  assertAbout(await held('qcow2', packed), 32);
});

test('all may be held of an image that leans on another one, of what is no file, and of what cannot be asked', async () => {
  const below = create('qcow2', 'below.qcow2');
  const overlay = create('qcow2', 'overlay.qcow2', '-b', below, '-F', 'qcow2');
  const apart = create('qcow2', 'apart.qcow2', '-o', `data_file=${join(directory, 'apart.data')}`);
  assert.equal(await held('qcow2', overlay), CAPACITY);
  assert.equal(await held('qcow2', apart), CAPACITY);
  assert.equal(await held('qcow2', below, { hasBacking: true }), CAPACITY);
  assert.equal(await held('raw', '/dev/sda', { sourceType: 'block' }), CAPACITY);
  assert.equal(await held('qcow2', join(directory, 'nowhere.qcow2')), CAPACITY);
});
