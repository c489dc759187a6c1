/** `lmas completion SHELL` prints what a shell loads; the hidden `lmas complete` is what that asks. */
import { Argument } from 'commander';
import { leaf, type Registry } from '../command.ts';
import { complete } from '../completion/candidates.ts';
import { type NameFlags, namesOf } from '../completion/names.ts';
import { SCRIPTS, SHELLS, type Shell } from '../completion/scripts.ts';
import { EXIT } from '../exit-codes.ts';
import { printable } from '../output/text.ts';

export function addCompletion(registry: Registry): void {
  const { program, terminal } = registry;
  const command = program
    .command('completion')
    .summary('what makes the tab key work in a shell')
    .description(
      'Prints the completion script of a shell. It completes commands, flags and values, and asks the orchestrator for the names of sites, endpoints and the like.',
    )
    .addArgument(new Argument('<shell>', 'which shell').choices([...SHELLS]));
  leaf(registry, command, {
    examples: ['source <(lmas completion bash)', 'lmas completion fish | source'],
    action: async ({ args: [shell], print }) => {
      print(SCRIPTS[shell as Shell]);
      return EXIT.ok;
    },
  });
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: readonly string[]) => {
      const { candidates, kind } = complete(program, words);
      const typed = (words.at(-1) ?? '').replace(/^--[^=]*=/, '');
      const names = kind === undefined ? [] : await namesOf(kind, connectionOf(words), terminal);
      const before = (words.at(-1) ?? '').slice(0, (words.at(-1) ?? '').length - typed.length);
      const all = [
        ...candidates,
        ...names.filter(({ value }) => value.startsWith(typed)).map((one) => ({ ...one, value: before + one.value })),
      ];
      terminal.stdout.write(all.map(({ value, meaning }) => `${value}\t${printable(meaning)}\n`).join(''));
    });
}

/** Where the line that is being written would be sent. */
function connectionOf(words: readonly string[]): NameFlags {
  const flagValue = (flag: string): string | undefined =>
    words.slice(0, -1).flatMap((word, index) => {
      if (word.startsWith(`${flag}=`)) return [word.slice(flag.length + 1)];
      return word === flag && index + 2 < words.length ? [words[index + 1] ?? ''] : [];
    })[0];
  const [url, apiKeyFile, context] = ['--url', '--api-key-file', '--context'].map(flagValue);
  return {
    ...(url === undefined ? {} : { url }),
    ...(apiKeyFile === undefined ? {} : { apiKeyFile }),
    ...(context === undefined ? {} : { context }),
  };
}
