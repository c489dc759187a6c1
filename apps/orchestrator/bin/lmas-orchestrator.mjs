#!/usr/bin/env node
/**
 * The `lmas-orchestrator` command. Plain JavaScript that Node 20 can read: it finds a Node that runs TypeScript as it is
 * (24 or later; an older one hands over to the Node that npm installed with LMAS) and starts src/main.ts there.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const OLDEST_MAJOR = 24;
const HANDED_OVER = 'LMAS_ORCHESTRATOR_HANDED_OVER';
const here = dirname(fileURLToPath(import.meta.url));

/** The Node of the nearest node_modules above this file, or null. */
function bundledNode() {
  for (let directory = here; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', '.bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (dirname(directory) === directory) return null;
  }
}

/** Runs the same command line with another Node and ends as it ends. */
function handOver(node) {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, [HANDED_OVER]: '1' },
  });
  process.on('SIGINT', () => {}); // a terminal sends it to the child as well
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => {
    process.stderr.write(`lmas-orchestrator: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
}

if (Number(process.versions.node.split('.')[0]) >= OLDEST_MAJOR) {
  const { main } = await import('../src/main.ts');
  await main();
} else {
  const node = process.env[HANDED_OVER] === undefined ? bundledNode() : null;
  if (node === null) {
    process.stderr.write(
      `lmas-orchestrator: needs Node ${OLDEST_MAJOR} or later, and this is ${process.version}.\n` +
        'Run "npm ci" in the directory of LMAS: it installs the right Node there and this command will use it;\n' +
        `or put Node ${OLDEST_MAJOR} or later first in PATH.\n`,
    );
    process.exitCode = 1;
  } else {
    handOver(node);
  }
}
