// node tools/run.mjs SCRIPT.ts [args…]: set-up if something is missing, then SCRIPT under Node 26 with the same terminal, and its exit code.
// Read by the machine's own Node (18 or later). `--help` and `--yes` among the arguments are looked at, and passed on. Nothing is
// installed to print a help: where SCRIPT cannot run yet, it is read from the text file beside it (see test/docs/generated/help.ts).

import { existsSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { endWithNpm, spawnBound } from './bound-child.mjs';
import { install, isReady, node26, ROOT } from './setup.mjs';

const [script, ...args] = process.argv.slice(2);
if (!script) {
  console.error('usage: node tools/run.mjs SCRIPT.ts [args…]');
  process.exit(2);
}

const wantsHelp = args.includes('--help') || args.includes('-h');
if (wantsHelp && !isReady()) {
  const help = [`.${args[0]}.help.txt`, '.help.txt']
    .map((end) => join(ROOT, script.replace(/\.ts$/, end)))
    .find(existsSync);
  console.log(
    help === undefined ? 'Run `npm ci` first: nothing is installed yet.' : readFileSync(help, 'utf8').trimEnd(),
  );
  process.exit(0);
}
const code = wantsHelp ? 0 : await install({ script: [script, ...args].join(' '), yes: args.includes('--yes') });
if (code !== 0) process.exit(code);

endWithNpm('run-script');
const child = spawnBound(node26, [script, ...args]);
// Ctrl-C reaches the child by itself (same process group): we only have to outlive its clean-up. Signals to us alone are passed on.
process.on('SIGINT', () => {});
for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  console.error(`cannot start ${node26}: ${error.message}`);
  process.exit(1);
});
child.on('exit', (exitCode, signal) => process.exit(exitCode ?? 128 + (constants.signals[signal] ?? 0)));
