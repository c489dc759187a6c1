/**
 * What every command has in common: the connection and output flags, the examples in its help, and an action that gets
 * an `Invocation` and answers with an exit code.
 */
import type { LmasClient } from '@lmas/client';
import { Command, Option } from 'commander';
import { DEFAULT_URL, openClient } from './connection.ts';
import type { ExitCode } from './exit-codes.ts';
import { type Column, renderTable } from './output/table.ts';
import { type Terminal, widthOf } from './terminal.ts';

/** One run of one command. */
export interface Invocation<Flags> {
  readonly args: readonly string[];
  readonly flags: Flags & CommonFlags;
  readonly terminal: Terminal;
  /** Opens the client when it is first asked for, so that wrong usage is told before a missing key. */
  client(): Promise<LmasClient>;
  /** The same for whoever says itself, in place, what is waited for. */
  silentClient(): Promise<LmasClient>;
  readonly signal: AbortSignal;
  print(text: string): void;
  printJson(document: unknown): void;
  printTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], empty: string): void;
  /** For people, on standard error; silent with --json. */
  note(text: string): void;
  warn(text: string): void;
}

export interface CommonFlags {
  readonly url?: string;
  readonly apiKeyFile?: string;
  readonly context?: string;
  readonly json?: boolean;
}

export type Action<Flags> = (invocation: Invocation<Flags>) => Promise<ExitCode>;

/** Where a command leaves its exit code for `run`. */
export interface Outcome {
  exitCode: ExitCode;
}

/** Handed to every file under commands/. */
export interface Registry {
  readonly program: Command;
  readonly terminal: Terminal;
  readonly outcome: Outcome;
}

/** Tells of everything that a command line lacks at once, where commander ends at the first thing. */
export class WholeCommand extends Command {
  override createCommand(name?: string): WholeCommand {
    return new WholeCommand(name);
  }

  /** Commander's own, called for the first required option that is not there. */
  missingMandatoryOptionValue(): void {
    this.#tellMissing('commander.missingMandatoryOptionValue');
  }

  /** The same for arguments, when all options are there. */
  missingArgument(): void {
    this.#tellMissing('commander.missingArgument');
  }

  #tellMissing(code: string): void {
    const words = this.registeredArguments
      .filter(({ required }, index) => required && this.args[index] === undefined)
      .map((argument) => `argument '${argument.name()}'`);
    const options = this.options.filter(
      (option) => option.mandatory && this.getOptionValue(option.attributeName()) === undefined,
    );
    for (const { flags } of options) words.push(`option '${flags}'`);
    this.error(`error: missing: ${words.join(', ')}`, { code });
  }
}

/** For a number whose default is shown as one, and not as the text that the command line makes of it. */
export const numberOption = (flags: string, description: string, fallback: number): Option =>
  new Option(flags, description).default(String(fallback), String(fallback));

const EXAMPLES = new WeakMap<Command, readonly string[]>();

/** Those that its help ends with. */
export const examplesOf = (command: Command): readonly string[] => EXAMPLES.get(command) ?? [];

/** Finishes a leaf command: common flags, examples, action. */
export function leaf<Flags = object>(
  { terminal, outcome }: Pick<Registry, 'terminal' | 'outcome'>,
  command: Command,
  { examples, action }: { examples: readonly string[]; action: Action<Flags> },
): Command {
  command.optionsGroup('Connection and output:');
  for (const option of commonOptions()) command.addOption(option);
  EXAMPLES.set(command, examples);
  command.addHelpText('after', `\nExamples:\n${examples.map((example) => `  ${example}`).join('\n')}`);
  command.action(async (...received: unknown[]) => {
    const args = command.processedArgs.flat().filter((arg): arg is string => typeof arg === 'string');
    const flags = (received.at(-1) as Command).optsWithGlobals<Flags & CommonFlags>();
    outcome.exitCode = await action(invocation(args, flags, terminal));
  });
  return command;
}

export function commonOptions(): Option[] {
  return [
    new Option('--url <url>', `where the orchestrator is (default: $LMAS_URL, else ${DEFAULT_URL})`),
    new Option(
      '--api-key-file <file>',
      'file that holds the API key (default: $LMAS_API_KEY_FILE, else $LMAS_API_KEY, else api-key in the data directory of an orchestrator on this machine)',
    ),
    new Option('--context <name>', 'one of `lmas context list` (default: $LMAS_CONTEXT, else the one in use)'),
    new Option('--json', 'print JSON instead of text: one document, or with --watch one line for each event'),
  ];
}

function invocation<Flags>(args: readonly string[], flags: Flags & CommonFlags, terminal: Terminal): Invocation<Flags> {
  let client: Promise<LmasClient> | undefined;
  let silentClient: Promise<LmasClient> | undefined;
  const { stdout, stderr, env } = terminal;
  const note = (text: string) => {
    if (flags.json !== true) stderr.write(`${text}\n`);
  };
  const warn = (text: string) => stderr.write(`lmas: warning: ${text}\n`);
  return {
    args,
    flags,
    terminal,
    signal: terminal.interrupted,
    client: () => {
      client ??= openClient(flags, env, { warn, say: stderr.isTTY === true ? note : undefined });
      return client;
    },
    silentClient: () => {
      silentClient ??= openClient(flags, env, { warn });
      return silentClient;
    },
    print: (text) => stdout.write(text.endsWith('\n') ? text : `${text}\n`),
    printJson: (document) => stdout.write(`${JSON.stringify(document, null, 2)}\n`),
    printTable: (columns, rows, empty) => {
      if (rows.length === 0) note(empty);
      else stdout.write(renderTable(columns, rows, widthOf(stdout, env)));
    },
    note,
    warn,
  };
}

/** For flags that may be given several times. */
export function collect(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}
