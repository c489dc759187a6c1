/** What is written from the programs themselves says what they say now, and manual pages are manual pages. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { commandLinePage } from '../../apps/cli/src/reference/markdown.ts';
import { ENVIRONMENT_FILE, environmentFile } from '../../deploy/debian/environment-file.ts';
import { allManualPages } from '../../deploy/debian/manual.ts';
import { helpFiles } from './generated/help.ts';
import { PAGES } from './generated/pages.ts';
import { pluginsPage } from './generated/plugins.ts';

test('docs/cli.md is what the command line says', () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  assert.ok(page === commandLinePage(), 'Run: npm run generate');
});

for (const { file, render } of PAGES) {
  const name = file.pathname.replace(/.*\/docs\//, 'docs/');
  test(`${name} is what the code says`, () => {
    assert.ok(readFileSync(file, 'utf8') === render(), 'Run: npm run generate');
  });
}

test('every setting and option of the plugins that come along says what it means', () => {
  const rows = pluginsPage().match(/^\| `.*/gm) ?? [];
  assert.ok(rows.length > 60, String(rows.length));
  assert.deepEqual(
    rows.filter((row) => row.endsWith('|  |')),
    [],
  );
});

test('deploy/orchestrator.env explains every setting', () => {
  assert.ok(readFileSync(ENVIRONMENT_FILE, 'utf8') === environmentFile(), 'Run: npm run generate');
});

test('the help that a fresh checkout prints is what the scripts say', () => {
  for (const { file, text } of helpFiles) {
    assert.ok(readFileSync(file, 'utf8') === text(), `Run: npm run generate (${file})`);
  }
});

test('no two manual pages have the same name, in whatever section', () => {
  const names = allManualPages('1.2.3').map(({ path }) => path.replace(/^man\d\/(.*)\.\d$/, '$1'));
  assert.deepEqual(names, [...new Set(names)]);
  for (const name of ['lmas', 'lmas-orchestrator', 'lmas-gateway', 'lmas-gateway-list'])
    assert.ok(names.includes(name), name);
});

test('manual pages have no slip that groff finds', (t) => {
  if (spawnSync('groff', ['--version']).status !== 0) return t.skip('There is no groff here.');
  for (const { path, text } of allManualPages('1.2.3')) {
    const args = ['-man', '-ww', '-z', '-Tutf8', '-Kutf8'];
    const { stderr, status } = spawnSync('groff', args, { input: text, encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, ''], path);
  }
});
