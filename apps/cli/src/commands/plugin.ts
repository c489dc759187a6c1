/** `lmas plugin`: the kinds of hypervisor that the orchestrator knows, and the settings each of them takes. */
import type { Plugin } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { listSettings, type Setting } from '../output/schema-text.ts';
import type { Column } from '../output/table.ts';

const COLUMNS: readonly Column<Plugin>[] = [
  { title: 'PLUGIN', value: ({ name }) => name },
  { title: 'API', value: ({ apiVersion }) => String(apiVersion) },
  {
    title: 'CAN',
    value: ({ capabilities }) =>
      Object.entries(capabilities)
        .filter(([, can]) => can)
        .map(([name]) => name)
        .join(', '),
    minWidth: 10,
  },
];

const SETTING_COLUMNS: readonly Column<Setting>[] = [
  { title: 'KEY', value: ({ key }) => key },
  { title: 'TYPE', value: ({ type }) => type, minWidth: 6 },
  { title: 'DEFAULT', value: ({ fallback }) => fallback, minWidth: 8 },
  { title: 'MEANING', value: ({ meaning }) => meaning, minWidth: 20, dropOrder: 1 },
];

export function addPlugin(registry: Registry): void {
  const plugin = registry.program
    .command('plugin')
    .summary('kinds of hypervisor, and the settings they take')
    .description('The kinds of hypervisor that the orchestrator has loaded.');
  leaf(registry, plugin.command('list').description('Lists the plugins.'), {
    examples: ['lmas plugin list'],
    action: async (invocation) => {
      const plugins = await (await invocation.client()).listPlugins({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items: plugins });
      else invocation.printTable(COLUMNS, plugins, 'No plugins.');
      return EXIT.ok;
    },
  });
  const get = plugin
    .command('get')
    .description("Lists a plugin's settings: for an endpoint (--config) and for a migration (--option).")
    .argument('<name>', 'name of the plugin: kvm, …');
  leaf(registry, get, {
    examples: ['lmas plugin get kvm'],
    action: async (invocation) => {
      const name = invocation.args[0] ?? '';
      const plugins = await (await invocation.client()).listPlugins({ signal: invocation.signal });
      const found = plugins.find((one) => one.name === name);
      if (found === undefined) {
        throw new CliError('INVALID_VALUE', `There is no plugin ${name}.`, {
          remedy: `Loaded are: ${plugins.map((one) => one.name).join(', ') || 'none'}.`,
        });
      }
      if (invocation.flags.json === true) invocation.printJson(found);
      else {
        invocation.print('Of an endpoint (lmas endpoint add --config key=value):');
        invocation.printTable(SETTING_COLUMNS, listSettings(found.configSchema), '  none');
        invocation.print('\nOf a migration (lmas migrate --option key=value):');
        invocation.printTable(SETTING_COLUMNS, listSettings(found.optionsSchema), '  none');
      }
      return EXIT.ok;
    },
  });
}
