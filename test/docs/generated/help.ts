/**
 * What the scripts of package.json print for `--help`, kept in text files beside them: tools/run.mjs prints those on a checkout
 * where nothing is installed yet; a test compares.
 *
 *   npm run generate -w @lmas/test        writes them anew
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../../..');

/** Script, and the word before `--help` for those that have a help for each. */
const HELPS: readonly (readonly [script: string, word?: string])[] = [
  ['test/e2e/demo.ts'],
  ['test/e2e/main.ts'],
  ['test/lab/cli.ts'],
  ['test/faults/main.ts'],
  ['test/bench/main.ts'],
  ...['tunnel', 'migration', 'orchestrator', 'balancing', 'page-cache'].map(
    (name) => ['test/bench/main.ts', name] as const,
  ),
];

export interface HelpFile {
  readonly file: string;
  /** What it has to say. */
  text(): string;
}

export const helpFiles: readonly HelpFile[] = HELPS.map(([script, word]) => ({
  file: path.join(ROOT, script.replace(/\.ts$/, `${word === undefined ? '' : `.${word}`}.help.txt`)),
  text: () => {
    const args = [path.join(ROOT, script), ...(word === undefined ? [] : [word]), '--help'];
    return execFileSync(process.execPath, args, { encoding: 'utf8' });
  },
}));

if (import.meta.main) for (const { file, text } of helpFiles) writeFileSync(file, text());
