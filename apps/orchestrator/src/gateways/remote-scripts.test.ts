/** The shell scripts, run by a shell, on a small archive. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { UNPACK_BUNDLE } from './remote-scripts.ts';

const sha256 = (data: Buffer | string): string => createHash('sha256').update(data).digest('hex');

test('a bundle that somebody else has just unpacked is left where it is; one that was changed is replaced', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'lmas-bundle-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  await mkdir(join(base, 'made/root'), { recursive: true });
  await writeFile(join(base, 'made/root/program'), 'a program');
  const archive = join(base, 'bundle.tar.gz');
  execFileSync('tar', ['-czf', archive, '-C', join(base, 'made'), 'root']);
  const manifest = `${sha256('a program')}  root/program\n`;
  const directory = join(base, 'bundle');
  let uploads = 0;
  const unpack = async (): Promise<void> => {
    uploads += 1;
    const upload = join(base, `upload-${uploads}`);
    await copyFile(archive, upload);
    const args = ['-c', UNPACK_BUNDLE, 'sh', upload, sha256(await readFile(archive)), directory];
    const shell = spawn('sh', args, { stdio: ['pipe', 'inherit', 'inherit'] });
    shell.stdin.end(manifest);
    const [code] = await once(shell, 'exit');
    assert.equal(code, 0);
  };
  const inode = async (): Promise<number> => (await stat(directory)).ino;

  await Promise.all([unpack(), unpack(), unpack()]);
  const first = await inode();
  await unpack();
  assert.equal(await inode(), first, 'a gateway may run from it');
  await writeFile(join(directory, 'root/program'), 'another program');
  await unpack();
  assert.notEqual(await inode(), first);
  assert.equal(await readFile(join(directory, 'root/program'), 'utf8'), 'a program');
  assert.deepEqual((await readdir(base)).sort(), ['bundle', 'bundle.lock', 'bundle.tar.gz', 'made'].sort());
});
