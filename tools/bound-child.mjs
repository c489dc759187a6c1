/**
 * A child that does the work of this process and ends with it, also when this process is killed in a way that it cannot answer
 * (SIGKILL): a pipe that only this process holds tells the child, see with-parent.mjs. Plain JavaScript that Node 18 can read.
 */
import { spawn } from 'node:child_process';
import process from 'node:process';

/** The next one after standard input, output and error. */
const FD = 3;
const WATCH = new URL('with-parent.mjs', import.meta.url).href;

/**
 * @param {string} node the Node that runs it
 * @param {string[]} args its command line
 * @param {Record<string, string>} more of its environment
 */
export function spawnBound(node, args, more = {}) {
  return spawn(node, ['--import', WATCH, ...args], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, LMAS_PARENT_FD: String(FD), ...more },
  });
}

const LOOK_MS = 500;

/**
 * Sends this process SIGTERM once npm, which started it, is gone: npm 11 ends its shell on SIGTERM, and the program below hears nothing.
 * What this process starts does not end that way by itself, nor by asking here: it may be meant to outlive this one.
 * @param {('exec' | 'run-script' | 'test')[]} commands how it may have been started: by npx, by `npm run`, by `npm test`
 */
export function endWithNpm(...commands) {
  if (!commands.includes(process.env.npm_command)) return;
  delete process.env.npm_command;
  const parent = process.ppid;
  const timer = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(timer);
    process.kill(process.pid, 'SIGTERM');
  }, LOOK_MS);
  timer.unref();
}
