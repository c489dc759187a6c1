/** `lmas context`: several orchestrators, by name. */
import { resolve } from 'node:path';
import { createLmasClient } from '@lmas/client';
import { leaf, type Registry } from '../command.ts';
import { whereIs } from '../connection.ts';
import { type Context, contextNamed, readContexts, writeContexts } from '../contexts.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';

const COLUMNS: readonly Column<{ name: string; isCurrent: boolean } & Context>[] = [
  { title: 'IN USE', value: ({ isCurrent }) => (isCurrent ? '*' : '') },
  { title: 'NAME', value: ({ name }) => name },
  { title: 'URL', value: ({ url }) => url },
  {
    title: 'KEY',
    value: ({ apiKeyFile, apiKeyVariable }) => apiKeyFile ?? `$${apiKeyVariable}`,
    minWidth: 10,
    dropOrder: 1,
  },
];

interface AddFlags {
  readonly apiKeyVariable?: string;
}

export function addContext(registry: Registry): void {
  const { program, terminal } = registry;
  const context = program
    .command('context')
    .summary('several orchestrators, by name')
    .description('Contexts: orchestrators by name, each with the place where its API key is. No context holds a key.');
  const list = context.command('list').description('Lists the contexts, and which one is in use.');
  leaf(registry, list, {
    examples: ['lmas context list'],
    action: async (invocation) => {
      const { current, contexts } = await readContexts(terminal.env);
      const items = Object.entries(contexts).map(([name, one]) => ({ name, isCurrent: name === current, ...one }));
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(COLUMNS, items, 'No contexts.');
      return EXIT.ok;
    },
  });
  addAdd(registry, context);
  const use = context
    .command('use')
    .description('Uses a context from now on, wherever nothing else is said.')
    .argument('<context>', 'its name');
  leaf(registry, use, {
    examples: ['lmas context use prod'],
    action: async ({ args: [name = ''], flags, note, printJson }) => {
      const contexts = await readContexts(terminal.env);
      const used = contextNamed(name, contexts);
      await writeContexts({ ...contexts, current: name }, terminal.env);
      if (flags.json === true) printJson({ name, isCurrent: true, ...used });
      note(`${name} is in use: ${used.url}`);
      return EXIT.ok;
    },
  });
  const remove = context
    .command('remove')
    .description('Forgets a context. Its key stays where it is.')
    .argument('<context>', 'its name');
  leaf(registry, remove, {
    examples: ['lmas context remove prod'],
    action: async ({ args: [name = ''], flags, note, printJson }) => {
      const { current, contexts } = await readContexts(terminal.env);
      contextNamed(name, { current, contexts });
      const { [name]: _, ...others } = contexts;
      await writeContexts({ current: current === name ? null : current, contexts: others }, terminal.env);
      if (flags.json === true) printJson({ removed: name });
      note(`Forgotten: ${name}`);
      if (current === name) {
        note(`From now on ${await whereIs({}, terminal.env)} is used, until lmas context use NAME says otherwise.`);
      }
      return EXIT.ok;
    },
  });
}

function addAdd(registry: Registry, context: Registry['program']): void {
  const { env } = registry.terminal;
  const add = context
    .command('add')
    .description('Adds a context, or says it anew. The first one is in use at once. Takes --url and --api-key-file.')
    .argument('<name>', 'its name: letters, digits, hyphens, dots')
    .option('--api-key-variable <name>', 'environment variable that holds the key');
  leaf<AddFlags>(registry, add, {
    examples: [
      'lmas context add prod --url https://lmas.example.org --api-key-file ~/.config/lmas/prod.key',
      'lmas context add ci --url https://lmas.example.org --api-key-variable LMAS_CI_KEY',
    ],
    action: async ({ args: [name = ''], flags, note, printJson }) => {
      if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(name)) {
        throw new CliError('INVALID_VALUE', `${name} is no name for a context: letters, digits, hyphens, dots.`);
      }
      const { apiKeyFile, apiKeyVariable } = flags;
      if (apiKeyFile !== undefined && apiKeyVariable !== undefined) {
        throw new CliError('INVALID_VALUE', 'Both --api-key-file and --api-key-variable say where the key is.', {
          remedy: 'Give one of them.',
        });
      }
      if (flags.url === undefined || (apiKeyFile === undefined && apiKeyVariable === undefined)) {
        throw new CliError('INVALID_VALUE', 'A context needs an address and a place where its key is.', {
          remedy: 'Give --url, and --api-key-file or --api-key-variable.',
        });
      }
      const { baseUrl: url } = createLmasClient({ baseUrl: flags.url, apiKey: '' }); // throws where it is no address
      const { current, contexts } = await readContexts(env);
      const added: Context = {
        url,
        ...(apiKeyFile === undefined ? {} : { apiKeyFile: resolve(apiKeyFile) }),
        ...(apiKeyVariable === undefined ? {} : { apiKeyVariable }),
      };
      const next = { current: current ?? name, contexts: { ...contexts, [name]: added } };
      await writeContexts(next, env);
      if (flags.json === true) printJson({ name, isCurrent: next.current === name, ...added });
      note(next.current === name ? `${name} is in use: ${url}` : `Added ${name}. To use it: lmas context use ${name}`);
      return EXIT.ok;
    },
  });
}
