/** Binds `run` to this process: its streams, Ctrl-C, its exit code. The only file that touches `process` globally. */
import process from 'node:process';
import { CliError } from './errors.ts';
import { run } from './program.ts';

export async function main(): Promise<void> {
  const interrupt = new AbortController();
  // Once: a second Ctrl-C finds no listener and ends the process as it always does.
  process.once('SIGINT', () => interrupt.abort(new CliError('INTERRUPTED', 'Interrupted.')));
  // A reader that has seen enough (`lmas list | head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  process.exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    env: process.env,
    interrupted: interrupt.signal,
  });
}
