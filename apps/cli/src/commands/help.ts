/** `lmas help site add`: the help of any command; in a group (`lmas site help add`) names count from there. */
import type { Command } from 'commander';

/** Call it last: a command that knows others gets its help. */
export function addHelp(group: Command): void {
  for (const command of group.commands) if (command.commands.length > 0) addHelp(command);
  group
    .helpCommand(false)
    .command('help')
    .summary(group.parent === null ? 'print help for a command' : '')
    .description('Prints help for a command.')
    .argument('[command...]')
    .action((names: readonly string[]) => {
      let found = group;
      for (const name of names) {
        const next = found.commands.find((command) => command.name() === name || command.aliases().includes(name));
        found = next ?? found.error(`error: unknown command '${name}'`);
      }
      found.help();
    });
}
