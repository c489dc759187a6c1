/** What the documents name is there: every test that proof.md rests on, every file and heading that a page links to. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { anchorsOf, pages, root, textOf } from './markdown.ts';

test('every test that docs/proof.md names exists, by its whole path', () => {
  const named = [...textOf('docs/proof.md').matchAll(/`([\w./-]+\.test\.ts)`/g)].map(([, path]) => path ?? '');
  assert.ok(named.length > 50);
  assert.deepEqual(
    named.filter((path) => !existsSync(join(root, path))),
    [],
  );
});

test('every link of every page leads somewhere, to a heading that is there', () => {
  const broken = pages.flatMap((page) => {
    const links = textOf(page).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g);
    return [...links].flatMap(([link, path = '', anchor]) => {
      const target = path === '' ? page : join(dirname(page), path);
      if (!existsSync(join(root, target))) return [`${page}: ${link}`];
      const isMissing = anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor);
      return isMissing ? [`${page}: ${link}: no such heading`] : [];
    });
  });
  assert.ok(
    pages.length > 20 && pages.includes('plugins/kvm/README.md') && pages.includes('test/lab/vsphere/README.md'),
  );
  assert.deepEqual(broken, []);
});

test('every page of docs is in its table of contents', () => {
  const contents = textOf('docs/README.md');
  const missing = pages.filter(
    (page) => page.startsWith('docs/') && page !== 'docs/README.md' && !contents.includes(`](${page.slice(5)})`),
  );
  assert.deepEqual(missing, []);
});
