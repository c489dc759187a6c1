/**
 * Builds the page, or finds what the same sources gave before: a call with unchanged sources only hashes them. The
 * orchestrator calls it when it runs from a source tree; an installed one has the files beside it.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const here = path.dirname(fileURLToPath(import.meta.url));
/** What the page is made of: its own sources, and the packages that it shares with others. */
const SOURCES = [
  'src',
  'index.html',
  'vite.config.ts',
  'package.json',
  '../../packages/client/src',
  '../../packages/format/src',
];

export interface Dashboard {
  /** Absolute; holds index.html and all that it loads. */
  readonly directory: string;
}

export async function buildDashboard(): Promise<Dashboard> {
  const inputs = hashOf(SOURCES.flatMap((source) => filesBelow(path.join(here, source))));
  const directory = path.join(here, 'dist');
  const mark = path.join(directory, 'inputs');
  if (existsSync(mark) && readFileSync(mark, 'utf8') === inputs) return { directory };
  // Two who build at once must not mix their files: each builds beside, and the last one to be ready stays.
  const beside = path.join(here, `dist.${process.pid}`);
  await build({
    root: here,
    configFile: path.join(here, 'vite.config.ts'),
    logLevel: 'warn',
    build: { outDir: beside },
  });
  writeFileSync(path.join(beside, 'inputs'), inputs);
  rmSync(directory, { recursive: true, force: true });
  renameSync(beside, directory);
  return { directory };
}

function filesBelow(source: string): string[] {
  if (!statSync(source).isDirectory()) return [source];
  return readdirSync(source, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

function hashOf(files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${path.relative(here, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  return hash.digest('hex');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${(await buildDashboard()).directory}\n`);
}
