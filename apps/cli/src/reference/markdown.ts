/** docs/cli.md: every command of the command line on one page. */
import { EXIT_CODE_HELP } from '../exit-codes.ts';
import { type Described, describeProgram, type Term } from './describe.ts';

const HEADER = `# The command line

Written from the program itself (\`npm run generate -w @lmas/cli\`), as \`lmas --help\` and the manual pages are; a test fails
when they have gone apart. How to make the tab key work: [lmas completion](#lmas-completion). Several orchestrators:
[lmas context](#lmas-context).
`;

/** Words in angle brackets would be taken for HTML. */
const plain = (text: string): string => text.replaceAll('<', '&lt;').replaceAll('|', '\\|');

function table(list: readonly Term[]): string {
  if (list.length === 0) return '';
  const rows = list.map(({ term, meaning }) => `| \`${term.replaceAll('|', '\\|')}\` | ${plain(meaning)} |`);
  return ['| | |', '| --- | --- |', ...rows, ''].join('\n');
}

function section(command: Described, depth: number): string[] {
  const isGroup = command.commands.length > 0;
  return [
    `${'#'.repeat(depth)} ${command.name}\n`,
    `${plain(command.description)}\n`,
    ...(isGroup ? [] : [`    ${command.usage}\n`]),
    table([...command.arguments, ...command.options]),
    ...(command.examples.length === 0 ? [] : [['```sh', ...command.examples, '```', ''].join('\n')]),
    ...command.commands.flatMap((one) => section(one, depth + 1)),
  ].filter((text) => text !== '');
}

export function commandLinePage(): string {
  const { root, common } = describeProgram();
  const exitCodes = EXIT_CODE_HELP.split('\n')
    .slice(1)
    .map((line) => /^ +(\d+) +(.*)$/.exec(line))
    .map((found) => `| ${found?.[1]} | ${found?.[2]} |`);
  return [
    HEADER,
    '## Exit codes\n',
    ['| code | means |', '| --- | --- |', ...exitCodes, ''].join('\n'),
    '`lmas doctor` says what it found: see [operations.md](operations.md).\n',
    '## Every command takes\n',
    table(common),
    ...root.commands.flatMap((command) => section(command, 2)),
  ].join('\n');
}
