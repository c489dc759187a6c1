// node tools/run.mjs SCRIPT.ts [args…]: set-up if something is missing, then SCRIPT under Node 26 with the same terminal, and its exit code.
// Read by the machine's own Node (20 or later). `--help` and `--yes` among the arguments are looked at, and passed on.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { install, node26 } from './setup.mjs';

const [script, ...args] = process.argv.slice(2);
if (!script) {
  console.error('usage: node tools/run.mjs SCRIPT.ts [args…]');
  process.exit(2);
}

const code = await install({
  script,
  yes: args.includes('--yes'),
  npmOnly: args.includes('--help') || args.includes('-h'),
});
if (code !== 0) process.exit(code);

const child = spawn(node26, [script, ...args], { stdio: 'inherit' });
// Ctrl-C reaches the child by itself (same process group): we only have to outlive its clean-up. Signals to us alone are passed on.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  console.error(`cannot start ${node26}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (exitCode, signal) => process.exit(exitCode ?? 128 + (constants.signals[signal] ?? 0)));
