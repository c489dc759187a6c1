import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseTarGzip } from 'nanotar';
import { Archive } from './archive.ts';

async function temporaryDirectory() {
  const path = await mkdtemp(join(tmpdir(), 'lmas-archive-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

test('what is too much is left out and named, and the rest goes on', async () => {
  await using directory = await temporaryDirectory();
  const archive = new Archive([]);
  archive.addText('huge.txt', 'w', 'x'.repeat((4 << 20) + 1));
  for (let i = 0; i < 9; i++) archive.addText(`large-${i}.txt`, 'w', 'x'.repeat(4 << 20));
  archive.addText('small.txt', 'w', 'y');
  const leftOut = archive.leftOut.map(({ what, why }) => `${what}: ${why}`);
  assert.deepEqual(leftOut, [
    'huge.txt: 4194305 bytes are more than one file may have',
    'large-8.txt: the bundle is full',
    'small.txt: the bundle is full',
  ]);
  const file = join(directory.path, 'b.tar.gz');
  assert.equal(await archive.write(file, {}), (await stat(file)).size);
  const [manifest, ...files] = await parseTarGzip(await readFile(file));
  assert.equal(files.length, 8);
  assert.equal(JSON.parse(manifest?.text ?? '').leftOut.length, 3);
});

test('nothing is overwritten, not even through a link; and what is known to be secret is nowhere', async () => {
  await using directory = await temporaryDirectory();
  const [file, link, target] = ['f', 'l', 't'].map((name) => join(directory.path, name));
  assert.ok(file !== undefined && link !== undefined && target !== undefined);
  await writeFile(file, 'mine');
  await symlink(target, link);
  const archive = new Archive(['MARKER']);
  archive.leaveOut('x', 'because of MARKER');
  for (const there of [file, link]) await assert.rejects(archive.write(there, {}), { code: 'OUTPUT_EXISTS' });
  assert.equal(await readFile(file, 'utf8'), 'mine');
  await assert.rejects(archive.write(join(directory.path, 'no', 'such'), {}), { code: 'OUTPUT_NOT_WRITTEN' });
  await archive.write(target, {});
  const [manifest] = await parseTarGzip(await readFile(target));
  assert.match(manifest?.text ?? '', /because of \[redacted\]/);
});
