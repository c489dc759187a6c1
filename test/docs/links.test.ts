/** What the documents name is there: every test that proof.md rests on, every file that a page links to. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const markdownIn = (directory: string): string[] =>
  readdirSync(join(root, directory)).flatMap((name) => (name.endsWith('.md') ? [join(directory, name)] : []));
const rooms = ['apps', 'packages', 'plugins', 'test'].flatMap((area) =>
  readdirSync(join(root, area), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() && entry.name !== 'node_modules' ? [join(area, entry.name)] : [],
  ),
);
const pages = ['.', 'docs', ...rooms].flatMap(markdownIn);

test('every test that docs/proof.md names exists, by its whole path', () => {
  const proof = readFileSync(join(root, 'docs/proof.md'), 'utf8');
  const named = [...proof.matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, path]) => path ?? '');
  assert.ok(named.length > 50);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(root, path))),
    [],
  );
});

test('every relative link of every page leads somewhere', () => {
  const broken = pages.flatMap((page) => {
    const links = [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)];
    const paths = links.map(([, path]) => path ?? '');
    return paths.filter((path) => !existsSync(join(root, dirname(page), path))).map((path) => `${page}: ${path}`);
  });
  assert.deepEqual(broken, []);
});
