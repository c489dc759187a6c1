import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { errorCode } from '../errors.ts';
import { readBundle } from './bundle.ts';

const directory = await mkdtemp(join(tmpdir(), 'lmas-bundle-'));
after(() => rm(directory, { recursive: true, force: true }));
const refused = (error: unknown) => errorCode(error) === 'GATEWAY_START_FAILED';
const pack = (name: string, root: string) => {
  const file = join(directory, name);
  execFileSync('tar', ['--format=ustar', '-czf', file, '-C', directory, root]);
  return file;
};

test('the manifest is what sha256sum finds in the unpacked bundle', async () => {
  await mkdir(join(directory, 'root/bin'), { recursive: true });
  await writeFile(join(directory, 'root/bin/a'), 'x'.repeat(1_500));
  await writeFile(join(directory, 'root/empty'), '');
  const bundle = await readBundle(pack('good.tar.gz', 'root'));
  assert.equal(bundle.root, 'root');
  assert.equal(bundle.manifest.trim().split('\n').length, 2);
  execFileSync('sha256sum', ['--check', '--strict', '--status', '-'], { cwd: directory, input: bundle.manifest });
  await writeFile(join(directory, 'root/empty'), 'changed');
  assert.throws(() =>
    execFileSync('sha256sum', ['--check', '--strict', '--status', '-'], { cwd: directory, input: bundle.manifest }),
  );
});

test('an archive with links, or without one root, is refused; so is a file that is not there', async () => {
  await mkdir(join(directory, 'linked'), { recursive: true });
  await symlink('/etc/passwd', join(directory, 'linked/passwd'));
  await assert.rejects(readBundle(pack('linked.tar.gz', 'linked')), refused);
  await writeFile(join(directory, 'loose'), 'x');
  await mkdir(join(directory, 'empty'), { recursive: true });
  await assert.rejects(readBundle(pack('empty.tar.gz', 'empty')), refused);
  await assert.rejects(readBundle(join(directory, 'none.tar.gz')), refused);
});
