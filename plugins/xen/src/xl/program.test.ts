/** The program for Dom0s: its own tests, in Python; that old Pythons can read it; that it needs nothing of where it is run. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { BOOT, PROGRAM } from './program.ts';

const skip = existsSync('/usr/bin/python3') ? false : 'python3 is not installed (apt-get install python3)';
const python = (args: readonly string[], options: { cwd?: string; input?: string } = {}) =>
  spawnSync('python3', args, { encoding: 'utf8', timeout: 60_000, ...options });

test('its own tests', { skip }, () => {
  const cwd = join(import.meta.dirname, 'dom0');
  const { status, stderr } = python(['-B', '-m', 'unittest', '-q', 'stream_test'], { cwd });
  assert.equal(status, 0, stderr);
  assert.match(stderr, /^Ran [1-9]/m);
});

test('Python 3.5 can read it, in whatever locale', { skip }, () => {
  const check = 'import ast, json, sys\nfor text in json.load(sys.stdin): ast.parse(text, feature_version=(3, 5))';
  const texts = [BOOT, ...PROGRAM.modules.map(([, text]) => text)];
  const { status, stderr } = python(['-c', check], { input: JSON.stringify(texts) });
  assert.equal(status, 0, stderr);
  assert.doesNotMatch(texts.join(''), /[^\n\x20-\x7e]/, 'ASCII only');
});

test('what lies where it is run is no part of it, and a refusal is an answer', { skip }, () => {
  const cwd = mkdtempSync(join(tmpdir(), 'lmas-xl-program-'));
  try {
    for (const module of ['json', 'selectors', 'notes'])
      writeFileSync(join(cwd, `${module}.py`), 'raise SystemExit(9)');
    const job = {
      verb: 'act',
      arguments: ['list'],
      ...{ migration: 'm_1', uuid: 'x' },
      xl: join(cwd, 'xl'),
      runDirectory: cwd,
      lockPath: cwd,
    };
    const { status, stdout, stderr } = python(['-I', '-c', BOOT], {
      cwd,
      input: JSON.stringify({ ...job, ...PROGRAM }),
    });
    assert.equal(status, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), {
      refused: `${cwd}/xl cannot be run: No such file or directory`,
      busy: false,
    });
  } finally {
    rmSync(cwd, { recursive: true });
  }
});
