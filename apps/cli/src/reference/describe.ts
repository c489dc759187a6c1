/** The whole command tree as data, from the same source as `--help`: what the manual pages and docs/cli.md are written from. */
import type { Command } from 'commander';
import { examplesOf } from '../command.ts';
import { buildProgram } from '../program.ts';

export interface Described {
  /** `lmas site add` */
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  readonly description: string;
  readonly arguments: readonly Term[];
  /** Without those that every command takes. */
  readonly options: readonly Term[];
  readonly examples: readonly string[];
  readonly commands: readonly Described[];
}

export interface Term {
  readonly term: string;
  readonly meaning: string;
}

export interface Reference {
  readonly root: Described;
  /** Taken by every command that asks the orchestrator. */
  readonly common: readonly Term[];
}

const EVERYWHERE = new Set(['--url', '--api-key-file', '--context', '--json', '--help', '--version']);

export function describeProgram(): Reference {
  const silent = { write: () => undefined };
  const program = buildProgram(
    {
      ...{ stdout: silent, stderr: silent, stdin: process.stdin, env: {} },
      interrupted: new AbortController().signal,
    },
    { exitCode: 0 },
  );
  const common = program.options
    .filter(({ long }) => long != null && EVERYWHERE.has(long) && long !== '--version')
    .map(({ flags, description }) => ({ term: flags, meaning: description }));
  return { root: described(program, ''), common };
}

function described(command: Command, before: string): Described {
  const name = `${before}${command.name()}`;
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((one) => one.name() !== 'help');
  return {
    name,
    usage: `${name} ${command.usage()}`,
    summary: command.summary() || firstSentence(command.description()),
    description: command.description(),
    arguments: help
      .visibleArguments(command)
      .map((one) => ({ term: help.argumentTerm(one), meaning: help.argumentDescription(one) })),
    options: help
      .visibleOptions(command)
      .filter(({ long }) => long == null || !EVERYWHERE.has(long))
      .map((one) => ({ term: help.optionTerm(one), meaning: help.optionDescription(one) })),
    examples: examplesOf(command),
    commands: commands.map((one) => described(one, `${name} `)),
  };
}

const firstSentence = (text: string): string => text.split(/(?<=\.) /)[0] ?? '';
