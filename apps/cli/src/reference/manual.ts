/** Manual pages in the man macros of groff_man(7): lmas(1), and one for each command or group below it, as git has them. */
import { FIRST_STEPS_AND_ENVIRONMENT } from '../program.ts';
import { CLI_VERSION } from '../version.ts';
import { type Described, describeProgram, type Term } from './describe.ts';

export interface ManualPage {
  /** `lmas-site.1` */
  readonly file: string;
  readonly text: string;
}

/** A backslash starts an escape, and a dot or an apostrophe at the start of a line a macro; a hyphen shall stay one. */
export const roff = (text: string): string =>
  text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll(/^(?=[.'])/gm, '\\&');

const heading = (title: string): string => `.SH ${title}\n`;
const paragraphs = (text: string): string =>
  text
    .split('\n\n')
    .map((one) => `.PP\n${roff(one)}\n`)
    .join('');
const literal = (text: string): string => `.PP\n.nf\n${roff(text)}\n.fi\n`;
const terms = (list: readonly Term[]): string =>
  list.map(({ term, meaning }) => `.TP\n\\fB${roff(term)}\\fR\n${roff(meaning)}\n`).join('');
const section = (title: string, list: readonly Term[]): string =>
  list.length === 0 ? '' : heading(title) + terms(list);

function page(name: string, summary: string, body: string): ManualPage {
  const title = name.replaceAll(' ', '-');
  const header = `.TH ${title.toUpperCase()} 1 "" "LMAS ${CLI_VERSION}" "LMAS"\n`;
  const named = `${heading('NAME')}${roff(title)} \\- ${roff(summary.replace(/\.$/, ''))}\n`;
  return { file: `${title}.1`, text: header + named + body };
}

/** A group tells of each of its commands in a section of its own. */
function commandPage(command: Described, common: readonly Term[]): ManualPage {
  const all = command.commands.length === 0 ? [command] : command.commands;
  const synopsis = all.map(({ usage }) => `.B ${roff(usage)}\n`).join('.br\n');
  const bodies = command.commands.map(
    (one) =>
      `.SS ${roff(one.name)}\n${paragraphs(one.description)}${terms([...one.arguments, ...one.options])}${examples(one)}`,
  );
  const own = section('ARGUMENTS', command.arguments) + section('OPTIONS', command.options);
  const body =
    heading('SYNOPSIS') +
    synopsis +
    heading('DESCRIPTION') +
    paragraphs(command.description) +
    (bodies.length === 0 ? own : heading('COMMANDS') + bodies.join('')) +
    section('CONNECTION AND OUTPUT', common) +
    (command.examples.length === 0 ? '' : heading('EXAMPLES') + literal(command.examples.join('\n'))) +
    heading('SEE ALSO') +
    '.BR lmas (1)\n';
  return page(command.name, command.summary, body);
}

const examples = (command: Described): string =>
  command.examples.length === 0 ? '' : `.PP\nExamples:\n${literal(command.examples.join('\n'))}`;

/** Groups named as a program of its own is: `man lmas-gateway` shows the program's page, and each command here has one of its own. */
const NAMED_AS_PROGRAMS: ReadonlySet<string> = new Set(['lmas gateway']);

export function manualPages(): ManualPage[] {
  const { root, common } = describeProgram();
  const commands = root.commands.flatMap((one) => (NAMED_AS_PROGRAMS.has(one.name) ? one.commands : [one]));
  const list = commands.map(({ name, summary }) => ({
    term: `${name.replaceAll(' ', '-')}(1)`,
    meaning: summary,
  }));
  const body =
    heading('SYNOPSIS') +
    `.B ${roff(root.usage)}\n` +
    heading('DESCRIPTION') +
    paragraphs(root.description) +
    section('COMMANDS', list) +
    section('CONNECTION AND OUTPUT', common) +
    heading('MORE') +
    literal(FIRST_STEPS_AND_ENVIRONMENT) +
    heading('SEE ALSO') +
    '.BR lmas\\-orchestrator (8),\n.BR lmas\\-gateway (8)\n';
  const top = page('lmas', 'moves running virtual machines between data centres', body);
  return [top, ...commands.map((command) => commandPage(command, common))];
}
