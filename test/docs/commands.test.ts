/** Every command of `lmas` that a page of the documentation or of the dashboard names is one that there is, with options that it has. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Command } from 'commander';
import { buildProgram } from '../../apps/cli/src/program.ts';
import { pages, root } from './markdown.ts';

const { stdout, stderr, stdin } = process;
const terminal = { stdout, stderr, stdin, env: {}, interrupted: new AbortController().signal };
const program = buildProgram(terminal, { exitCode: 0 });
/** In code, not in prose: in backticks, after npx, or a line of its own; as far as the code or its comment goes. */
const NAMED = /(?:^(?: {4,})?|`|<code>|npx )lmas ([a-z][^`<#|;\n]*)/gm;

/** What is wrong with what follows `lmas`: a word that no command has, or an option that this one does not take. */
function wrongWith(words: string): string | undefined {
  let at: Command = program;
  for (const word of words.trim().split(/\s+/)) {
    if (word.startsWith('--')) {
      const flag = word.replace(/=.*/, '').replace(/[^a-z-]+$/, '');
      const takes = [...at.options, ...program.options].some(({ long }) => long === flag);
      if (!takes && flag !== '--help' && flag !== '--') return word;
    } else if (at.commands.length > 0) {
      const next = at.commands.find((command) => command.name() === word || command.aliases().includes(word));
      // What is no word (`…`, `|`, `VERB`) stands for any.
      if (next === undefined) return /^[a-z][a-z-]*$/.test(word) ? word : undefined;
      at = next;
    }
  }
  return undefined;
}

test('a command that there is not is found, and an option that it does not take', () => {
  assert.equal(wrongWith('api-key make'), 'make');
  assert.equal(wrongWith('api-key add me --role viewer'), undefined);
  assert.equal(wrongWith('api-key create me --role viewer'), undefined);
  assert.equal(wrongWith('api-key create me --rule=viewer'), '--rule=viewer');
});

test('every command that is named exists, and takes what it is given', () => {
  const files = [...pages, ...globSync('apps/dashboard/src/**/*.tsx', { cwd: root })];
  const named = files.flatMap((file) => {
    const text = readFileSync(join(root, file), 'utf8').replaceAll(/\\\n\s*/g, '');
    return [...text.matchAll(NAMED)].map(([, words = '']) => ({ file, words, wrong: wrongWith(words) }));
  });
  assert.ok(named.length > 100, String(named.length));
  assert.ok(named.some(({ file }) => file.endsWith('login-page.tsx')));
  assert.deepEqual(
    named.filter(({ wrong }) => wrong !== undefined),
    [],
  );
});
