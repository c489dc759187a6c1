/**
 * What can stand at the end of an unfinished command line: found in the command tree itself, so that it is never out of date.
 * Names that only the orchestrator knows are asked for by the caller.
 */
import type { Command, Option } from 'commander';

export interface Candidate {
  readonly value: string;
  readonly meaning: string;
}

/** What kind of thing is named there. */
export type Kind =
  | 'migration'
  | 'site'
  | 'endpoint'
  | 'credential'
  | 'webhook'
  | 'project'
  | 'plugin'
  | 'api-key'
  | 'plan'
  | 'plan-run'
  | 'schedule'
  | 'policy'
  | 'context';

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Things of the installation that can stand there. */
  readonly kind: Kind | undefined;
}

const NOTHING: Completion = { candidates: [], kind: undefined };

/** By the name of the flag. */
const KIND_OF_FLAG: Readonly<Record<string, Kind>> = {
  '--from': 'endpoint',
  '--to': 'endpoint',
  '--endpoint': 'endpoint',
  '--site': 'site',
  '--credential': 'credential',
  '--gateway-credential': 'credential',
  '--plugin': 'plugin',
  '--project': 'project',
  '--migration': 'migration',
  '--plan': 'plan',
  '--policy': 'policy',
  '--context': 'context',
};

/** By the name of the argument, as the help shows it. */
const KIND_OF_ARGUMENT: Readonly<Record<string, Kind>> = {
  endpoint: 'endpoint',
  site: 'site',
  other: 'site',
  source: 'site',
  destination: 'site',
  host: 'endpoint',
  plan: 'plan',
  context: 'context',
};

/** An `id` is of what its command is about. */
const KIND_OF_GROUP: Readonly<Record<string, Kind>> = {
  site: 'site',
  endpoint: 'endpoint',
  credential: 'credential',
  webhook: 'webhook',
  project: 'project',
  plugin: 'plugin',
  'api-key': 'api-key',
  schedule: 'schedule',
  policy: 'policy',
  lmas: 'migration',
};

/** A `run` likewise; those of policies are in no list. */
const RUN_OF_GROUP: Readonly<Record<string, Kind>> = { plan: 'plan-run' };

/** @param words those after `lmas`; the last one is still being written, and perhaps empty */
export function complete(program: Command, words: readonly string[]): Completion {
  const typed = words.at(-1) ?? '';
  const { command, standing, open } = walk(program, words.slice(0, -1));
  if (open !== undefined) return valuesOf(open, typed);
  const [flag, value] = split(typed);
  const assigned = value === undefined ? undefined : findOption(command, flag);
  if (assigned !== undefined && value !== undefined) {
    const { candidates, kind } = valuesOf(assigned, value);
    return { candidates: candidates.map((one) => ({ ...one, value: `${flag}=${one.value}` })), kind };
  }
  if (typed.startsWith('-')) return { candidates: matching(optionsOf(command), typed), kind: undefined };
  if (command.commands.length > 0) return { candidates: matching(commandsOf(command), typed), kind: undefined };
  return argumentOf(command, standing, typed);
}

/** Follows the words through the tree: the command they name, how many arguments it has already, and a flag that waits for its value. */
function walk(program: Command, words: readonly string[]) {
  let command = program;
  let standing = 0;
  let open: Option | undefined;
  for (const word of words) {
    if (open !== undefined) {
      open = undefined;
    } else if (word.startsWith('-')) {
      const option = word.includes('=') ? undefined : findOption(command, word);
      if (option !== undefined && takesValue(option)) open = option;
    } else {
      const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
      if (next === undefined) standing += 1;
      else command = next;
    }
  }
  return { command, standing, open };
}

function split(word: string): [flag: string, value: string | undefined] {
  const equals = word.indexOf('=');
  return word.startsWith('--') && equals > 0 ? [word.slice(0, equals), word.slice(equals + 1)] : [word, undefined];
}

const takesValue = (option: Option): boolean => option.required || option.optional;

const findOption = (command: Command, flag: string): Option | undefined =>
  command.options.find(({ long, short }) => long === flag || short === flag) ??
  (command.parent === null ? undefined : findOption(command.parent, flag));

const matching = (candidates: readonly Candidate[], typed: string): Candidate[] =>
  candidates.filter(({ value }) => value.startsWith(typed));

const choices = (values: readonly string[] | undefined): Candidate[] =>
  (values ?? []).map((value) => ({ value, meaning: '' }));

function optionsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, description }) => (long == null ? [] : [{ value: long, meaning: description }]));
}

function commandsOf(command: Command): Candidate[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .map((one) => ({ value: one.name(), meaning: one.summary() || one.description() }));
}

function valuesOf(option: Option, typed: string): Completion {
  const kind = option.long == null ? undefined : KIND_OF_FLAG[option.long];
  return { candidates: matching(choices(option.argChoices), typed), kind };
}

function argumentOf(command: Command, standing: number, typed: string): Completion {
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[standing] ?? (last?.variadic ? last : undefined);
  if (argument === undefined) return NOTHING;
  // What is made by the command has no name yet that could be shown.
  const parent = command.parent?.name() ?? '';
  const group = command.name() === 'add' ? undefined : KIND_OF_GROUP[parent];
  const ofGroup: Readonly<Record<string, Kind | undefined>> = { id: group, name: group, run: RUN_OF_GROUP[parent] };
  const kind = KIND_OF_ARGUMENT[argument.name()] ?? ofGroup[argument.name()];
  return { candidates: matching(choices(argument.argChoices), typed), kind };
}
