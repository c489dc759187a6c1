/** The claim dies with its process and with nothing else: not with a pid that somebody else has, not by a race. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { claimDataDir, instanceOf, makeDataDir } from './data-dir.ts';

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'lmas-claim-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A process that claims the directory, says so, and stays. */
async function holder(path: string) {
  const module = new URL('./data-dir.ts', import.meta.url).href;
  const program = `
    const { claimDataDir } = await import(${JSON.stringify(module)});
    await claimDataDir(${JSON.stringify(path)});
    console.log('claimed');
    setInterval(() => undefined, 1_000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

test('it is made for its owner alone, with all that is above it', async (t) => {
  const path = join(await directory(t), 'a/b');
  await makeDataDir(path);
  await makeDataDir(path);
  assert.equal((await stat(path)).mode & 0o777, 0o700);
});

test('below /proc and /sys it is refused, however one gets there', async (t) => {
  const link = join(await directory(t), 'link');
  await symlink('/proc', link);
  for (const path of ['/proc/lmas/data', '/proc', '/sys/lmas', '/sys/kernel/a/b/c', join(link, 'lmas')]) {
    await assert.rejects(makeDataDir(path), { code: 'INVALID_CONFIG' }, path);
  }
});

test('one at a time, in this process and in another', async (t) => {
  const path = await directory(t);
  const release = await claimDataDir(path);
  await assert.rejects(claimDataDir(path), { code: 'DATA_DIR_IN_USE' });
  await release();
  const child = await holder(path);
  await assert.rejects(claimDataDir(path), (error: Error) => error.message.includes(`process ${child.pid}`));
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  await (await claimDataDir(path))();
});

test('a pid that lives on as somebody else claims nothing, and whoever ends in order leaves none', async (t) => {
  const path = await directory(t);
  const release = await claimDataDir(path);
  await release();
  assert.ok(!(await readdir(path)).includes('orchestrator.pid'));
  await writeFile(join(path, 'orchestrator.pid'), `${process.pid}\n`);
  await (await claimDataDir(path))();
});

test('of several that start at once after a crash, one gets it', async (t) => {
  const path = await directory(t);
  const child = await holder(path);
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
  const claims = await Promise.allSettled(Array.from({ length: 8 }, () => claimDataDir(path)));
  const got = claims.filter((claim) => claim.status === 'fulfilled');
  assert.equal(got.length, 1);
  for (const { value } of got) await value();
});

test('an instance keeps its name over restarts and ways to its directory; a copy of the directory has another one', async (t) => {
  const [path, copy, elsewhere] = [await directory(t), await directory(t), await directory(t)];
  const name = await instanceOf(path);
  await symlink(path, join(elsewhere, 'way'));
  assert.deepEqual([await instanceOf(path), await instanceOf(join(elsewhere, 'way'))], [name, name]);
  await copyFile(join(path, 'instance'), join(copy, 'instance'));
  assert.notEqual(await instanceOf(copy), name);
  assert.notEqual(await instanceOf(elsewhere), name);
});
