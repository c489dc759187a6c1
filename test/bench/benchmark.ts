/** What `npm run bench -- NAME` can run: the shape of a benchmark, and what all of them share on the command line. */
import { parseArgs } from 'node:util';

export interface Benchmark {
  readonly name: string;
  /** One line for the list. */
  readonly summary: string;
  readonly help: string;
  /** @returns exit code. @throws UsageError */
  run(args: readonly string[], options: { signal: AbortSignal }): Promise<number>;
}

/** What was asked for makes no sense; the message says why. */
export class UsageError extends Error {}

type OptionsConfig = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>;

/** Parses the options of a benchmark; `--yes` is for the set-up, which has run. @throws UsageError */
export function readOptions<const T extends OptionsConfig>(args: readonly string[], options: T) {
  try {
    return parseArgs({ args: [...args], options: { ...options, yes: { type: 'boolean' } } }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** @throws UsageError */
export function numberOption(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= min && value <= max) return value;
  throw new UsageError(`${name} takes a number from ${min} to ${max}, not "${text}".`);
}
