/**
 * The signals that end a process: the first one asks for it in order, the second one has it at once. Migrations are then recovered, and
 * Redis is told to end, as after any exit.
 */
import { constants } from 'node:os';
import process from 'node:process';

/** One wish may come twice: from a terminal, which tells all that run in it, and from npm or a launcher, which passes it on. */
const ECHO_MS = 500;

/** @param stop called once */
export function heedStopSignals(stop: (signal: NodeJS.Signals) => void): void {
  let firstAt: number | undefined;
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (firstAt === undefined) {
        firstAt = performance.now();
        stop(name);
      } else if (performance.now() - firstAt > ECHO_MS) {
        process.exit(128 + constants.signals[name]); // as shells say it of a program that the signal has ended
      }
    });
  }
}
