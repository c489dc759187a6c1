/**
 * `lmas-orchestrator backup` while migrations run, and `restore` into an empty data directory: records, sealed credentials, pinned
 * keys and logins are there, and a migration that was under way comes to a truthful end, though the world has gone on meanwhile.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { setStage, temporaryDirectory } from './harness.ts';

const PROGRAM = fileURLToPath(new URL('../../apps/orchestrator/bin/lmas-orchestrator.mjs', import.meta.url));
const directory = await temporaryDirectory();
const [lost, found] = ['lost', 'found'].map((name) => join(directory.path, name)) as [string, string];
const backup = join(directory.path, 'backup.rdb');
const orchestrator = new OrchestratorProcess(lost);
before(() => orchestrator.start());
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

/** As a person would run it. */
function keep(args: readonly string[], dataDir: string): Promise<{ code: number; said: string }> {
  const env = { PATH: process.env.PATH, LMAS_DATA_DIR: dataDir };
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, said: out + err }),
    );
  });
}

const ended = (migration: Migration) => migration.endedAt !== null;

test('what was on record is on record again, and what was under way ends truthfully', { timeout: 90_000 }, async () => {
  const { api } = orchestrator;
  await using stage = await setStage(() => orchestrator.api, directory.path);
  await using second = await setStage(() => orchestrator.api, directory.path);
  const done = await second.submit();
  const first = await api.until(done.id, ended);
  assert.equal(first.phase, 'succeeded');

  const hold = stage.world.faults.arm('source.perform', 'hold-before');
  const running = await stage.submit();
  await hold.reached;
  const { code, said } = await keep(['backup', backup], lost);
  assert.deepEqual([code, (await stat(backup)).mode & 0o777], [0, 0o600], said);
  assert.match(said, /master key is not in it/);
  const over = await keep(['backup', backup], lost);
  assert.deepEqual([over.code, over.said.split('\n')[0]], [1, `BACKUP_FAILED: ${backup} exists already.`]);
  const nowhere = join(directory.path, 'none');
  const astray = await keep(['backup', join(nowhere, 'b.rdb')], lost);
  assert.deepEqual([astray.code, astray.said.split('\n')[0]], [1, `BACKUP_FAILED: There is no directory ${nowhere}.`]);

  // The machine is lost; what it did after the backup, nobody remembers.
  hold.release();
  await api.until(running.id, ended);
  await orchestrator.end('SIGTERM');
  assert.equal((await keep(['restore', backup], found)).code, 0);
  await cp(join(lost, 'master-key'), join(found, 'master-key'));
  await cp(join(lost, 'api-key'), join(found, 'api-key'));
  await using again = new OrchestratorProcess(found);
  await again.start();

  assert.deepEqual(await again.api.must('GET', `/v1/migrations/${done.id}`), first);
  const pins = await again.api.must<{ gateway: { ssh: { hostKeys: string[] } } }>('GET', `/v1/sites/${stage.source}`);
  assert.match(pins.gateway.ssh.hostKeys[0] ?? '', /^SHA256:/);
  const recovered = await again.api.until(running.id, ended);
  assert.deepEqual(stage.world.running(stage.vmId), [recovered.where], JSON.stringify(recovered));
  assert.deepEqual(stage.world.violations, []);
  // The credential opens: the far end is asked with it.
  await again.api.must('POST', `/v1/endpoints/${second.source}/test`, {});
});

test('nothing is restored over records, and nothing that is no backup', { timeout: 60_000 }, async () => {
  const refused = await keep(['restore', backup], found);
  assert.equal(refused.code, 1);
  assert.match(refused.said, /BACKUP_FAILED[\s\S]*records in/);
  const [broken, empty] = [join(directory.path, 'broken.rdb'), join(directory.path, 'empty')];
  await writeFile(broken, 'no snapshot');
  await mkdir(empty);
  const { code, said } = await keep(['restore', broken], empty);
  assert.equal(code, 1);
  assert.match(said, /BACKUP_FAILED: .*broken\.rdb is no backup[\s\S]*Take another backup/);
  const whole = await readFile(backup);
  const ofValkey9 = Buffer.from(whole);
  ofValkey9.write('VALKEY080', 'latin1');
  await writeFile(broken, ofValkey9);
  const later = await keep(['restore', broken], empty);
  assert.equal(later.code, 1);
  assert.match(later.said, /of a later Redis/, 'a snapshot, which this server says that it cannot load');
  const damaged = Buffer.from(whole);
  damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1; // of its checksum
  for (const bytes of [whole.subarray(0, whole.length - 100), damaged, whole.subarray(0, 9)]) {
    await writeFile(broken, bytes);
    const refusal = await keep(['restore', broken], empty);
    assert.equal(refusal.code, 1);
    assert.match(
      refusal.said,
      /BACKUP_FAILED: .*broken\.rdb is damaged, cut short.*redis-server cannot load it \(.+\)/,
    );
  }
  assert.match(
    (await keep(['restore', join(directory.path, 'nothing')], empty)).said,
    /BACKUP_FAILED: .*cannot be read/,
  );
  assert.equal((await keep(['restore', backup], empty)).code, 0, 'a failure leaves an empty directory');
});
