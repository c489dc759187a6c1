/** Binds `run` to this process: its streams, Ctrl-C, its exit code. The only file that touches `process` globally. */
import process from 'node:process';
import { CliError, failureOf, formatFailure } from './errors.ts';
import { run } from './program.ts';

export async function main(): Promise<void> {
  let ifLost: string | undefined;
  const interrupt = new AbortController();
  // Once: a second Ctrl-C finds no listener and ends the process as it always does.
  process.once('SIGINT', () => interrupt.abort(new CliError('INTERRUPTED', 'Interrupted.')));
  // A reader that has seen enough (`lmas list | head`) is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit();
    const failure = failureOf(
      new CliError('OUTPUT_LOST', `Standard output cannot be written (${error.code ?? error.message}).`, {
        ...(ifLost === undefined ? {} : { remedy: ifLost }),
        cause: error,
      }),
    );
    const isJson = process.argv.includes('--json');
    process.stderr.write(isJson ? `${JSON.stringify({ error: failure })}\n` : formatFailure(failure));
    process.exit(failure.exitCode);
  });
  process.exitCode = await run(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    stdin: process.stdin,
    tellsOnce: (remedy) => {
      ifLost = remedy;
    },
    env: process.env,
    interrupted: interrupt.signal,
  });
}
