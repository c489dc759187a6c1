/** `npm run generate -w @lmas/cli` writes docs/cli.md; `npm run build` the manual pages, into dist/man. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { manualPages } from '../src/reference/manual.ts';
import { commandLinePage } from '../src/reference/markdown.ts';

if (process.argv.includes('--man')) {
  const directory = join(import.meta.dirname, '../dist/man/man1');
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  for (const { file, text } of manualPages()) writeFileSync(join(directory, file), text);
} else writeFileSync(join(import.meta.dirname, '../../../docs/cli.md'), commandLinePage());
