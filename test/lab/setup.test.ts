// The set-up (tools/setup.mjs): what it finds missing, and what it says where it cannot help.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { run } from './src/command.ts';

const tools = join(import.meta.dirname, '../../tools');
interface SetUp {
  npmReason(root: string): string | undefined;
  missingPackages(pretend: readonly string[], script?: string): { name: string }[];
}
const { npmReason, missingPackages }: SetUp = await import(join(tools, 'setup.mjs'));

test('npm packages are missing exactly when they differ from the lock file', () => {
  const root = mkdtempSync(join(tmpdir(), 'lab-setup-'));
  const write = (path: string, packages: object) => writeFileSync(join(root, path), JSON.stringify({ packages }));
  try {
    const locked = {
      '': { version: '1' },
      'node_modules/a': { version: '1.0.0' },
      'node_modules/other-platform': { version: '1.0.0', optional: true },
    };
    write('package-lock.json', locked);
    assert.equal(npmReason(root), 'no npm packages are installed');
    mkdirSync(join(root, 'node_modules/.bin'), { recursive: true });
    write('node_modules/.package-lock.json', { 'node_modules/a': { version: '1.0.0' } });
    assert.equal(npmReason(root), 'Node 26 is not installed');
    writeFileSync(join(root, 'node_modules/.bin/node'), '');
    assert.equal(npmReason(root), undefined);
    write('package-lock.json', { ...locked, 'node_modules/a': { version: '1.0.1' } });
    assert.equal(npmReason(root), 'node_modules/a is not as the lock file says');
    write('package-lock.json', { ...locked, 'node_modules/b': { version: '1.0.0' } });
    assert.equal(npmReason(root), 'node_modules/b is not as the lock file says');
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('a dry run names what is missing, why it is needed, and installs nothing', async () => {
  const { code, stderr } = await run('node', [join(tools, 'setup.mjs'), '--dry-run', '--pretend-missing', 'gcc'], {
    allowFailure: true,
  });
  assert.equal(code, process.getuid?.() === 0 ? 1 : 3);
  assert.match(stderr, /Debian package gcc: the link emulator/);
});

test('what only some scripts need is asked for by those alone, and by a set-up by hand for the tests', () => {
  const pretend = ['chromium-headless-shell', 'stunnel4', 'sqlite3', 'gcc'];
  const missing = (script?: string) => {
    const names = missingPackages(pretend, script).map(({ name }) => name);
    return pretend.filter((name) => names.includes(name));
  };
  assert.deepEqual(missing(), ['chromium-headless-shell', 'gcc']);
  assert.deepEqual(missing('tools/test.mjs'), ['chromium-headless-shell', 'gcc']);
  assert.deepEqual(missing('test/e2e/main.ts'), ['chromium-headless-shell', 'gcc']);
  assert.deepEqual(missing('test/e2e/demo.ts'), ['gcc']);
  assert.deepEqual(missing('test/bench/main.ts tunnel --quick'), ['stunnel4', 'gcc']);
  assert.deepEqual(missing('test/bench/main.ts page-cache'), ['sqlite3', 'gcc']);
  assert.deepEqual(missing('test/bench/main.ts orchestrator --yes'), ['gcc']);
});

test('a checkout where nothing is installed prints its help at once; npm does not warn of its own Node', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-help-'));
  try {
    cpSync(tools, join(directory, 'tools'), { recursive: true });
    const npm = join(directory, 'npm.js');
    writeFileSync(npm, 'console.error("npm was told:", ...process.argv.slice(2)); process.exit(1);');
    writeFileSync(join(directory, 'x.help.txt'), 'Usage of x\n');
    writeFileSync(join(directory, 'x.part.help.txt'), 'Usage of its part\n');
    const runner = (...args: string[]) => {
      const command = [`npm_execpath=${npm}`, 'node', join(directory, 'tools/run.mjs'), 'x.ts', ...args];
      return run('env', command, { allowFailure: true });
    };
    for (const [args, said] of [
      [['--help'], 'Usage of x\n'],
      [['word', '-h'], 'Usage of x\n'],
      [['part', '--help'], 'Usage of its part\n'],
    ] as const) {
      const { code, stdout, stderr } = await runner(...args);
      assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: said, stderr: '' }, args.join(' '));
    }
    const plain = await runner('--yes');
    assert.match(plain.stderr, /^LMAS needs:\n {2}npm packages[\s\S]*npm was told: ci .*--loglevel=error/);
    assert.equal(plain.code, 1);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('what Node itself links is missed whatever else is left alone', async () => {
  const args = [join(tools, 'setup.mjs'), '--dry-run', '--npm-only', '--pretend-missing', 'libatomic1,gcc'];
  const { code, stderr } = await run('node', args, { allowFailure: true });
  assert.equal(code, process.getuid?.() === 0 ? 1 : 3);
  assert.match(stderr, /Debian package libatomic1: Node 26 links it/);
  assert.doesNotMatch(stderr, /gcc/);
});

test('without root it says what to install by hand, and exits with 3', {
  skip: process.getuid?.() === 0 ? false : 'SKIPPED: needs root to become nobody',
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-tools-'));
  try {
    cpSync(tools, join(directory, 'tools'), { recursive: true });
    cpSync(join(tools, '../package-lock.json'), join(directory, 'package-lock.json'));
    await run('chmod', ['-R', 'a+rX', directory]);
    const args = [
      '--reuid',
      '65534',
      '--regid',
      '65534',
      '--clear-groups',
      'node',
      join(directory, 'tools/setup.mjs'),
      '--yes',
      '--pretend-missing',
      'gcc,redis-server',
    ];
    const { code, stderr } = await run('setpriv', args, { allowFailure: true });
    assert.equal(code, 3);
    assert.match(
      stderr,
      /that needs root\. Please run, as root:\n {2}apt-get install --no-install-recommends redis-server gcc\n/,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
