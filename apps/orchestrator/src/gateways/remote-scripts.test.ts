/** The shell scripts, run by a shell, on a small archive. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CLEAN_INTERCEPTIONS, UNPACK_BUNDLE } from './remote-scripts.ts';

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

test('an unpack that fails leaves neither archive nor half a bundle', async (t) => {
  const base = await mkdtemp(join(tmpdir(), 'lmas-bundle-'));
  t.after(() => rm(base, { recursive: true, force: true }));
  const upload = join(base, 'upload');
  for (const [archive, digest] of [
    ['not an archive', sha256('not an archive')],
    ['damaged', sha256('whole')],
  ] as const) {
    await writeFile(upload, archive);
    const args = ['-c', UNPACK_BUNDLE, 'sh', upload, digest, join(base, 'bundle')];
    assert.notEqual(spawnSync('sh', args, { input: '' }).status, 0);
    assert.deepEqual(await readdir(base), []);
  }
});

/** A machine whose nft and ip are played: `tables` and `rules` are what there is, and what is removed is noted. */
async function setMachine(t: TestContext, { tables, marks }: { tables: string | null; marks: readonly number[] }) {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-tools-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const removed = join(directory, 'removed');
  const rules = marks.map((mark) => `100:\tfrom all fwmark 0x${mark.toString(16)} lookup ${mark}`).join('\n');
  const play = (tool: string, body: string) =>
    writeFile(join(directory, tool), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  await play('nft', `[ "$1" = list ] || { echo "table $4" >>${removed}; exit; }\n${tables ?? 'exit 1'}`);
  await play(
    'ip',
    `[ "$1 $2 $3" = "-4 rule list" ] && echo '${rules}'\n[ "$3" = del ] && echo "rule $5" >>${removed}\ntrue`,
  );
  return {
    clean: () => spawnSync('sh', ['-c', CLEAN_INTERCEPTIONS], { env: { PATH: `${directory}:${process.env.PATH}` } }),
    removed: () => readFile(removed, 'utf8').catch(() => ''),
  };
}

test('what killed gateways left is taken away, and never what a living one has', async (t) => {
  const space = (await readlink('/proc/self/ns/pid')).replaceAll(/\D/g, '');
  const stat = await readFile('/proc/self/stat', 'latin1');
  const since = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  const tables = [`lmas_${space}_${process.pid}_${since}`, `lmas_${space}_7_1`, 'lmas_1_8_1', 'theirs'];
  const marks = [process.pid, 7, 8, 9].map((pid) => 0x4c000000 + pid);
  const machine = await setMachine(t, {
    tables: tables.map((table) => `echo 'table inet ${table}'`).join('\n'),
    marks,
  });
  const { stdout } = machine.clean();
  assert.equal(stdout.toString(), `lmas_${space}_7_1\n`);
  assert.equal(await machine.removed(), `table lmas_${space}_7_1\nrule 0x4c000007\nrule 0x4c000009\n`);
});

test('nothing is taken away while the tables cannot be listed', async (t) => {
  const machine = await setMachine(t, { tables: null, marks: [0x4c000000 + process.pid] });
  machine.clean();
  assert.equal(await machine.removed(), '');
});
