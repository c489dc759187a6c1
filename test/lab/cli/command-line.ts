/**
 * What was typed after `npm run lab --`, read once: options, positionals, and the command of `shell`. A wrong value is
 * told in one line and nothing is touched. Answers go through `print`: for people to standard output, and with --json as
 * one JSON value to a file.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LabError } from '../src/errors.ts';
import type { LinkOptions } from '../src/index.ts';
import { DEFAULT_NAME } from '../src/names.ts';

const OPTIONS = {
  name: { type: 'string', default: DEFAULT_NAME },
  json: { type: 'string' },
  help: { type: 'boolean', short: 'h', default: false },
  yes: { type: 'boolean', default: false },
  rate: { type: 'string' },
  rtt: { type: 'string' },
  loss: { type: 'string' },
  queue: { type: 'string' },
  jitter: { type: 'string' },
  site: { type: 'string' },
  memory: { type: 'string' },
  fill: { type: 'string' },
  'working-set': { type: 'string' },
  dirty: { type: 'string' },
  zero: { type: 'string' },
  compressible: { type: 'string' },
  disk: { type: 'string', multiple: true },
  sectors: { type: 'string' },
  network: { type: 'string' },
  direction: { type: 'string' },
  seconds: { type: 'string' },
} as const;

type Values = ReturnType<typeof parse>['values'];
type TextOption = { [K in keyof Values]-?: Values[K] extends string | undefined ? K : never }[keyof Values];

function parse(args: string[]) {
  try {
    return parseArgs({ args, allowPositionals: true, options: OPTIONS });
  } catch (error) {
    throw new LabError('LAB_ARGUMENT', `${(error as Error).message}; see --help`);
  }
}

/** What follows `shell MACHINE` belongs to the command that is run there, options and all. */
function splitShell(args: readonly string[]): { own: string[]; command: string[] } {
  const at = args.indexOf('shell');
  return at < 0 ? { own: [...args], command: [] } : { own: args.slice(0, at + 2), command: args.slice(at + 2) };
}

export class CommandLine {
  readonly values: Values;
  readonly words: readonly string[];
  /** What `shell` runs; empty means an interactive shell. */
  readonly shellCommand: readonly string[];

  constructor(args: readonly string[]) {
    const { own, command } = splitShell(args);
    const { values, positionals } = parse(own);
    this.values = values;
    this.words = positionals;
    this.shellCommand = command;
  }

  /** The word at `index`, which is `what` in the words of the help. */
  word(index: number, what: string): string {
    const word = this.words[index];
    if (!word) throw new LabError('LAB_ARGUMENT', `${what} is missing; see --help`);
    return word;
  }

  number(option: TextOption): number | undefined {
    const text = this.values[option];
    return text === undefined ? undefined : numberOf(`--${option}`, text);
  }

  choice<T extends string>(option: TextOption, choices: readonly T[], fallback: T): T {
    const text = this.values[option];
    return text === undefined ? fallback : choiceOf(`--${option}`, text, choices);
  }

  /** Only what was given: what was not leaves a setting of the link as it is. */
  linkOptions(): Partial<LinkOptions> {
    return given({
      rateMbit: this.number('rate'),
      rttMs: this.number('rtt'),
      lossPct: this.number('loss'),
      queueMs: this.number('queue'),
      jitterMs: this.number('jitter'),
    });
  }

  /** One answer: `text` for people, `value` into the file of --json ("-" is standard output, instead of the text). */
  print(value: unknown, text: string): void {
    const file = this.values.json;
    const json = `${JSON.stringify(value, null, 2)}\n`;
    if (file === '-') {
      process.stdout.write(json);
      return;
    }
    if (file !== undefined) writeAnswer(file, json);
    console.log(text);
  }
}

function writeAnswer(file: string, json: string): void {
  try {
    writeFileSync(file, json);
  } catch (error) {
    throw new LabError('LAB_ARGUMENT', `--json ${file} cannot be written: ${(error as Error).message}`);
  }
}

export function numberOf(what: string, text: string): number {
  const number = Number(text);
  if (text.trim() === '' || !Number.isFinite(number) || number < 0)
    throw new LabError('LAB_ARGUMENT', `${what} ${text}: a number, not negative, is wanted`);
  return number;
}

export function choiceOf<T extends string>(what: string, text: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === text);
  if (!found) throw new LabError('LAB_ARGUMENT', `${what} ${text}: one of ${choices.join(', ')} is wanted`);
  return found;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same object without what is undefined. */
export function given<T extends object>(options: T): Given<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Given<T>;
}
