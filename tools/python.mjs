// node tools/python.mjs [--write]: lints and formats the Python that runs at hosts, with Ruff (its WebAssembly build, so nothing else is needed).

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PositionEncoding, Workspace } from '@astral-sh/ruff-wasm-nodejs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const write = process.argv.includes('--write');

const SETTINGS = {
  'line-length': 120,
  'indent-width': 4,
  // Ruff knows no older one; Dom0s with Python 3.5 and 3.6 are still about.
  'target-version': 'py37',
  lint: {
    select: ['E', 'F', 'W', 'I', 'B', 'C4', 'SIM', 'RET', 'PIE', 'N', 'A', 'S', 'PLE', 'PLW'],
    // Running programs with arguments of ours is what it is for; `try` with `pass` and `raise` without `from` read well enough.
    ignore: ['S102', 'S603', 'S110', 'B904', 'SIM105'],
  },
};

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.py'], { cwd: root })
  .toString()
  .split('\n')
  .filter((file) => file !== '');
const workspace = new Workspace(SETTINGS, PositionEncoding.Utf16);
let complaints = 0;
for (const file of files) {
  const path = join(root, file);
  const text = readFileSync(path, 'utf8');
  for (const { code, message, start_location: at } of workspace.check(text)) {
    console.error(`${file}:${at.row}:${at.column} ${code} ${message}`);
    complaints += 1;
  }
  const formatted = workspace.format(text);
  if (formatted === text) continue;
  if (write) writeFileSync(path, formatted);
  else {
    console.error(`${file} is not formatted: npm run format`);
    complaints += 1;
  }
}
process.exit(complaints === 0 ? 0 : 1);
