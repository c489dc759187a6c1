/**
 * What the pages have people type at a shell, as far as it can be looked at without typing it: it is shell, and its scripts, words, units
 * and variables are there. Commands of `lmas` are in commands.test.ts; the blocks with a name are typed, by the tests named below.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { help as gatewayHelp } from '../../apps/gateway/src/help.ts';
import { describeSettings } from '../../apps/orchestrator/src/config.ts';
import { codeBlocksOf, indentedBlocksOf, pages, root, textOf } from './markdown.ts';

/** Who types the blocks with a name, of which page. */
const TYPED_BY: Readonly<Record<string, readonly string[]>> = {
  'docs/kvm-host.md': ['test/docs/kvm-host.lab.test.ts'],
  'docs/install.md': ['test/e2e/install.lab.test.ts'],
  'docs/upgrade-and-backup.md': ['test/e2e/install.lab.test.ts'],
  'plugins/vmware/README.md': ['test/docs/step-by-step.test.ts'],
  'plugins/xen/README.md': ['test/docs/step-by-step.test.ts'],
};
/** Help that the script prints → what is behind `--`. */
const HELPS = { bench: 'bench/main', e2e: 'e2e/main', faults: 'faults/main', lab: 'lab/cli', demo: 'e2e/demo' };
/** Of the command line, of tests, and made up by a page: a name that a context is given. */
const OTHER_VARIABLES = /^LMAS_(URL|CONTEXT|CI_KEY|GARBAGE_RUNS)$/;

const named = pages.flatMap(codeBlocksOf).filter(({ language }) => language === 'sh');
const blocks = [...named, ...pages.flatMap(indentedBlocksOf)];
/** The command line's own pages show what it takes in the way of a synopsis. */
const isSynopsis = (code: string): boolean => /^lmas [a-z -]*\[options\]/.test(code);
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Every match of the first group in all pages, with the page. */
const saidAbout = (pattern: RegExp): { page: string; word: string }[] =>
  pages.flatMap((page) => [...textOf(page).matchAll(pattern)].map(([, word = '']) => ({ page, word })));

function assertAll(said: readonly { page: string; word: string }[], isThere: (word: string) => boolean): void {
  assert.ok(said.length > 0);
  assert.deepEqual(
    said.filter(({ word }) => !isThere(word)),
    [],
  );
}

test('every block is shell', () => {
  assert.ok(blocks.length > 200, String(blocks.length));
  const typed = blocks.filter(({ code }) => !isSynopsis(code));
  const wrong = typed.flatMap(({ page, line, code }) => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: `${code}\n`, encoding: 'utf8' });
    return status === 0 ? [] : [`${page}:${line}: ${stderr}`];
  });
  assert.deepEqual(wrong, []);
});

test('every block with a name is of a page that a test types', () => {
  const typed = new Set(named.filter(({ info }) => info !== '').map(({ page }) => page));
  assert.deepEqual([...typed].sort(), Object.keys(TYPED_BY).sort());
  const proof = read('docs/proof.md');
  for (const [page, tests] of Object.entries(TYPED_BY)) {
    for (const file of tests) assert.ok(proof.includes(file), `docs/proof.md says who types ${page}`);
  }
});

test('every script of npm is one, and takes the word that it is given', () => {
  const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts);
  assertAll(saidAbout(/npm run (?:-s )?([a-z][a-z0-9:]*)/g), (word) => scripts.includes(word));
  for (const [script, file] of Object.entries(HELPS)) {
    const helps = globSync(`test/${file}*.help.txt`, { cwd: root }).map(read).join('\n');
    const known = new Set(helps.match(/[\w-]+/g));
    const said = saidAbout(new RegExp(`npm run ${script} -- ([^\`|\n#]*)`, 'g')).flatMap(({ page, word }) =>
      // The word and the options; their values are anybody's.
      word.split(/\s+/).flatMap((each, index) => (index === 0 || each.startsWith('--') ? [{ page, word: each }] : [])),
    );
    assertAll(
      said.filter(({ word }) => /^[a-z-]/.test(word)),
      (word) => known.has(word.replace(/=.*/, '')),
    );
  }
});

test('every word of lmas-gateway and lmas-orchestrator is in their help', () => {
  const orchestrator = read('apps/orchestrator/src/main.ts').match(/const USAGE = `[^`]*`/)?.[0] ?? '';
  assertAll(saidAbout(/`(?:lmas-gateway|\.\/gateway) ([a-z-]+)/g), (word) => gatewayHelp.includes(word));
  for (const [program, help] of [
    ['lmas-gateway', gatewayHelp],
    ['lmas-orchestrator', `${orchestrator} --help`],
  ] as const) {
    const words = blocks.flatMap(({ page, code }) =>
      [...code.matchAll(new RegExp(`(?:^|[ /])${program} ([^#|;\n]*)`, 'gm'))].flatMap(([, rest = '']) =>
        rest
          .split(/\s+/)
          .flatMap((word, index) =>
            /^--[a-z]/.test(word) || (index === 0 && /^[a-z]/.test(word)) ? [{ page, word }] : [],
          ),
      ),
    );
    const known = new Set(help.match(/--?[a-z][a-z-]*|[a-z]+/g));
    assertAll(
      words.filter(({ word }) => !word.startsWith('lmas-')),
      (word) => known.has(word),
    );
  }
});

test('every unit of LMAS is one that the package brings', () => {
  const units = globSync('deploy/debian/files/units/*.service', { cwd: root }).map((file) =>
    file.replace(/.*\//, '').replace('.service', ''),
  );
  const roles = describeSettings();
  const said = saidAbout(/(?:systemctl|journalctl) ([^`|\n#;>]*)/g).flatMap(({ page, word }) =>
    word.split(/\s+/).flatMap((each) => (each.startsWith('lmas') ? [{ page, word: each }] : [])),
  );
  assertAll(said, (word) => {
    const [unit = '', role] = word.split('@');
    if (role === undefined) return units.includes(unit);
    return units.includes(`${unit}@`) && (unit === 'lmas-gateway' || roles.includes(`${role} `));
  });
});

test('every variable is one that is read', () => {
  const cli = read('apps/cli/src/program.ts');
  const known = new Set(`${describeSettings()}\n${cli}\n${gatewayHelp}`.match(/LMAS_[A-Z_]+/g));
  assertAll(saidAbout(/\b(LMAS_[A-Z_]*[A-Z])\b/g), (word) => known.has(word) || OTHER_VARIABLES.test(word));
});
