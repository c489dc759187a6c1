/**
 * Shell that runs where nobody looks (maintainer scripts, what is sent to gateway machines, the tab key, the lab) has no slip that shellcheck
 * knows.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { SCRIPTS } from '../../apps/cli/src/completion/scripts.ts';
import * as remote from '../../apps/orchestrator/src/gateways/remote-scripts.ts';
import { root } from '../docs/markdown.ts';

const skip = spawnSync('shellcheck', ['--version']).status === 0 ? false : 'There is no shellcheck here.';

/** Every file of the project that begins as a shell script does. */
function scriptFiles(): string[] {
  const files = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' }).split('\0').filter(Boolean);
  const first = (file: string): string => readFileSync(join(root, file)).subarray(0, 40).toString('latin1');
  return files.filter((file) => !/\.(ts|md|png|svg|json)$/.test(file) && /^#!.*\b(ba)?sh\b/.test(first(file)));
}

/** What is meant for a further shell stands in single quotes (SC2016). */
function slipsIn(shell: string, script: string): string {
  const { stdout, stderr } = spawnSync('shellcheck', ['--format=gcc', '--exclude=SC2016', `--shell=${shell}`, '-'], {
    ...{ input: script, encoding: 'utf8' },
  });
  return stdout + stderr;
}

test('files', { skip }, () => {
  const files = scriptFiles();
  for (const file of ['deploy/debian/files/control/postrm', 'deploy/debian/files/bin/lmas', 'test/lab/src/lab-qemu.sh'])
    assert.ok(files.includes(file), file);
  const { status, stdout } = spawnSync('shellcheck', ['--format=gcc', ...files], { cwd: root, encoding: 'utf8' });
  assert.deepEqual([status, stdout], [0, '']);
});

test('what is run at gateway machines', { skip }, () => {
  const scripts = Object.entries(remote).filter(([name]) => /^[A-Z_]+$/.test(name));
  assert.ok(scripts.length > 8);
  for (const [name, script] of scripts) assert.equal(slipsIn('dash', String(script)), '', name);
});

test('the completion for bash', { skip }, () => {
  assert.equal(slipsIn('bash', SCRIPTS.bash), '');
});

test('a slip is found', { skip }, () => {
  assert.match(slipsIn('dash', 'rm -r $1/x\n'), /SC2086/);
});
