/**
 * Starts one of the commands of LMAS. Plain JavaScript that Node 18 can read: a Node that runs TypeScript as it is (24 or
 * later) loads the program; an older one hands over to the Node that npm installed with LMAS, once: each ends as the other ends.
 */
import { existsSync } from 'node:fs';
import module from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { endWithNpm, spawnBound } from './bound-child.mjs';

const OLDEST_MAJOR = 24;
/** Of a program whose libraries are not all there (ld.so); sh says it of one that there is not. */
const NOT_LOADED = 127;
const HANDED_OVER = 'LMAS_HANDED_OVER';

/** The Node of the nearest node_modules above this file, or null. */
function bundledNode() {
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', '.bin', 'node');
    if (existsSync(candidate)) return candidate;
    if (dirname(directory) === directory) return null;
  }
}

/** Runs the same command line with another Node and ends as it ends. */
function handOver(name, launcher, node) {
  const child = spawnBound(node, [launcher, ...process.argv.slice(2)], { [HANDED_OVER]: '1' });
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT'); // a terminal sends it to the child as well
  });
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => {
    process.stderr.write(`${name}: cannot start ${node}: ${error.message}\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    if (code === NOT_LOADED) process.stderr.write(`${name}: ${node} links libatomic; Debian has it as libatomic1.\n`);
    process.exitCode = signal === null ? (code ?? 1) : 128 + constants.signals[signal];
  });
}

/**
 * Keeps what Node has made of the sources (types stripped, compiled) for the next start, in the cache of whoever runs it: a
 * directory that others can write to would be a way in. NODE_COMPILE_CACHE names another one, NODE_DISABLE_COMPILE_CACHE forbids it.
 */
function keepCompiled() {
  try {
    const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
    module.enableCompileCache(process.env.NODE_COMPILE_CACHE || join(cache, 'lmas'));
  } catch {
    // Without a home it starts as it always did.
  }
}

/**
 * @param {string} name what the person typed
 * @param {string} launcher `import.meta.url` of the file in bin/
 * @param {() => Promise<unknown>} load runs the program; called by a Node that can
 */
export async function launch(name, launcher, load) {
  endWithNpm('exec');
  if (Number(process.versions.node.split('.')[0]) >= OLDEST_MAJOR) {
    delete process.env[HANDED_OVER]; // what the program starts decides for itself
    keepCompiled();
    await load();
    return;
  }
  const node = process.env[HANDED_OVER] === undefined ? bundledNode() : null;
  if (node !== null) {
    handOver(name, fileURLToPath(launcher), node);
    return;
  }
  process.stderr.write(
    `${name}: needs Node ${OLDEST_MAJOR} or later, and this is ${process.version}.\n` +
      `Run "npm ci" in the directory of LMAS: it installs the right Node there and ${name} will use it;\n` +
      `or put Node ${OLDEST_MAJOR} or later first in PATH.\n`,
  );
  process.exitCode = 1;
}
