import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { errorCode, LmasError } from '../errors.ts';
import { type KeyRing, openKeyRing } from './master-keys.ts';
import { createVault, isSealed, keyIdOf } from './vault.ts';

const refused = (error: unknown) => errorCode(error) === 'MASTER_KEY_INVALID';
const newKey = () => randomBytes(32).toString('base64');
const ringOf = (...lines: string[]) => openKeyRing({ kind: 'environment', text: lines.join('\n') });
/** One that seals with the first of its keys. */
const vaultOf = (ring: KeyRing) => createVault(ring, { get: async () => ring.current() });
/** Files may have no bytes in this process while that runs. */
async function onFullDisk(run: () => Promise<void>): Promise<void> {
  const limitFiles = (bytes: string) =>
    execFileSync('prlimit', ['--pid', String(process.pid), `--fsize=${bytes}:`], { stdio: 'pipe' });
  limitFiles('0');
  await run().finally(() => limitFiles('unlimited'));
}
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmas-vault-'));
});
after(() => rm(directory, { recursive: true }));

describe('vault', () => {
  test('what was sealed for an id opens for that id, and differs every time', async () => {
    const ring = await ringOf(newKey());
    const vault = vaultOf(ring);
    const sealed = await vault.seal('site-a', 'geheim ü');
    assert.equal(await vault.open('site-a', sealed), 'geheim ü');
    assert.notEqual(await vault.seal('site-a', 'geheim ü'), sealed);
    assert.ok(isSealed(sealed) && !isSealed('sealed') && !isSealed(`x${sealed}`));
    assert.equal(keyIdOf(sealed), ring.current().id);
    assert.ok(!Buffer.from(sealed.split(':')[3] ?? '', 'base64').includes('geheim'));
  });

  test('it opens for no other id, under no other key, and not after any change', async () => {
    const vault = vaultOf(await ringOf(newKey()));
    const sealed = await vault.seal('site-a', 'geheim');
    await assert.rejects(vault.open('site-b', sealed), refused);
    await assert.rejects(vaultOf(await ringOf(newKey())).open('site-a', sealed), refused);
    const at = sealed.lastIndexOf(':') + 1;
    const bytes = Buffer.from(sealed.slice(at), 'base64');
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes);
      changed.writeUInt8((changed.readUInt8(i) + 1) % 256, i);
      await assert.rejects(
        vault.open('site-a', sealed.slice(0, at) + changed.toString('base64')),
        refused,
        `byte ${i}`,
      );
    }
    for (const length of [0, 1, 12, 28]) {
      const cut = bytes.subarray(0, length).toString('base64');
      await assert.rejects(vault.open('site-a', sealed.slice(0, at) + cut), refused, `${length} bytes`);
    }
  });

  test('a former key opens, and seals no more', async () => {
    const [former, current] = [newKey(), newKey()];
    const sealed = await vaultOf(await ringOf(former)).seal('a', 'geheim');
    const ring = await ringOf(current, former);
    const vault = vaultOf(ring);
    assert.equal(await vault.open('a', sealed), 'geheim');
    assert.equal(keyIdOf(await vault.seal('a', 'x')), ring.current().id);
    assert.notEqual(ring.current().id, keyIdOf(sealed));
  });
});

describe('master keys', () => {
  test('a file is made once, private; renewing it keeps what was current and what is needed', async () => {
    const path = join(directory, 'made');
    const ring = await openKeyRing({ kind: 'file', path, create: true });
    const first = ring.current().id;
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await openKeyRing({ kind: 'file', path, create: true })).current().id, first);
    await ring.renew(() => false);
    const second = ring.current().id;
    assert.deepEqual([ring.all().length, ring.find(first)?.id], [2, first]);
    await ring.renew((id) => id === first);
    assert.deepEqual(
      ring.all().map(({ id }) => id),
      [ring.current().id, second, first],
    );
    await ring.renew(() => false);
    assert.equal(ring.all().length, 2);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await readFile(path, 'utf8')).trim().split('\n').length, 2);
  });

  test('a disk that fills leaves no file, and no key changes; when there is room again, all is well', async () => {
    const path = join(directory, 'full', 'master-key');
    await mkdir(dirname(path));
    const open = () => openKeyRing({ kind: 'file', path, create: true });
    const notWritten = (error: unknown) =>
      errorCode(error) === 'MASTER_KEY_NOT_WRITTEN' &&
      error instanceof LmasError &&
      error.message.includes(`${path} could not be written: E`) &&
      error.cause !== undefined;
    await onFullDisk(() => assert.rejects(open(), notWritten));
    assert.deepEqual(await readdir(dirname(path)), []);
    const ring = await open();
    const before = await readFile(path, 'utf8');
    await onFullDisk(() =>
      assert.rejects(
        ring.renew(() => true),
        notWritten,
      ),
    );
    assert.deepEqual([await readdir(dirname(path)), await readFile(path, 'utf8')], [['master-key'], before]);
    assert.equal(ring.all().length, 1);
    await ring.renew(() => true);
    assert.deepEqual([await readdir(dirname(path)), ring.all().length], [['master-key'], 2]);
  });

  test('a file that is empty is named, with what to do about it', async () => {
    const path = join(directory, 'empty');
    await writeFile(path, '\n', { mode: 0o600 });
    const told = (remedy: RegExp) => (error: unknown) =>
      refused(error) &&
      error instanceof LmasError &&
      error.message.startsWith(`${path} is empty`) &&
      remedy.test(error.remedy ?? '');
    await assert.rejects(openKeyRing({ kind: 'file', path, create: true }), told(/rm .*empty.*next start makes one/));
    await assert.rejects(openKeyRing({ kind: 'file', path, create: false }), told(/openssl rand/));
  });

  test('what another process put into the file is found when it is needed', async () => {
    const path = join(directory, 'shared');
    const ours = await openKeyRing({ kind: 'file', path, create: true });
    const theirs = await openKeyRing({ kind: 'file', path, create: false });
    await theirs.renew(() => true);
    const sealed = await vaultOf(theirs).seal('a', 'geheim');
    assert.equal(await vaultOf(ours).open('a', sealed), 'geheim');
  });

  test('a command is asked; when it fails, nothing of what it printed is told', async () => {
    const key = newKey();
    const ring = await openKeyRing({ kind: 'command', command: `echo ${key}` });
    assert.equal(ring.current().id, (await ringOf(key)).current().id);
    for (const command of [`echo ${key}; exit 3`, 'kill -TERM $$', 'true', 'echo short']) {
      await assert.rejects(openKeyRing({ kind: 'command', command }), (error: Error) => {
        assert.ok(refused(error), command);
        assert.ok(!error.message.includes(key));
        return true;
      });
    }
  });

  test('a file that others can read, that is missing, or that holds no keys is refused', async () => {
    const path = join(directory, 'open');
    await writeFile(path, newKey(), { mode: 0o600 });
    await chmod(path, 0o640);
    await assert.rejects(openKeyRing({ kind: 'file', path, create: false }), refused);
    await assert.rejects(openKeyRing({ kind: 'file', path: join(directory, 'none'), create: false }), refused);
    for (const text of ['', 'geheim', randomBytes(16).toString('base64'), `${newKey()}\n# comment`]) {
      await assert.rejects(ringOf(text), refused, text);
    }
  });
});
