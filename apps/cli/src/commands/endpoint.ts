/** `lmas endpoint`: the hypervisor control points. */
import type { Endpoint, EndpointInput } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { mergeSettings, parseAssignment, parseSettings } from '../assignments.ts';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { describeVerification } from '../output/verification-text.ts';
import { readJson } from '../secrets.ts';
import { widthOf } from '../terminal.ts';
import { addPlaceLimit } from './place-limit.ts';

/** An orchestrator of an earlier version says nothing of it. */
const isCordoned = (endpoint: Endpoint): endpoint is Endpoint & { cordonedAt: string } =>
  typeof endpoint.cordonedAt === 'string';

const COLUMNS: readonly Column<Endpoint>[] = [
  { title: 'ENDPOINT', value: ({ id }) => id },
  { title: 'SITE', value: ({ site }) => site },
  { title: 'PLUGIN', value: ({ plugin }) => plugin },
  { title: 'CREDENTIAL', value: ({ credential }) => credential, dropOrder: 2 },
  { title: 'TAKES VMS', value: (endpoint) => (isCordoned(endpoint) ? 'no, cordoned' : 'yes') },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 1 },
];

interface ConfigFlags {
  readonly config?: readonly string[];
  readonly configFile?: string;
}
interface EndpointAddFlags extends ConfigFlags {
  readonly site: string;
  readonly plugin: string;
  readonly credential: string;
}

export function addEndpoint(registry: Registry): void {
  const endpoint = registry.program
    .command('endpoint')
    .summary('hypervisors: libvirt hosts and their like')
    .description('Hypervisor control points: a libvirt host, a vCenter, a XenServer pool.');
  addAdd(registry, endpoint.command('add'));
  leaf(registry, endpoint.command('list').description('Lists the endpoints.'), {
    examples: ['lmas endpoint list'],
    action: async (invocation) => {
      const endpoints = await (await invocation.client()).listEndpoints({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items: endpoints });
      else invocation.printTable(COLUMNS, endpoints, 'No endpoints. Add one with lmas endpoint add.');
      return EXIT.ok;
    },
  });
  leaf(registry, endpoint.command('get').description('Shows one endpoint.').argument('<id>', 'name of the endpoint'), {
    examples: ['lmas endpoint get host-a'],
    action: async (invocation) => {
      const client = await invocation.client();
      show(invocation, await client.getEndpoint(invocation.args[0] ?? '', { signal: invocation.signal }));
      return EXIT.ok;
    },
  });
  const test = endpoint
    .command('test')
    .description(
      'Connects, logs in, and looks at all that migrations will need there, step by step. Changes nothing there. Exit code 1 when a step failed.',
    )
    .argument('<id>', 'name of the endpoint');
  leaf(registry, test, {
    examples: ['lmas endpoint test host-a', 'lmas endpoint test host-a --json'],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      const result = await (await invocation.client()).testEndpoint(id, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson(result);
      else invocation.print(describeVerification(id, result));
      return result.ok ? EXIT.ok : EXIT.failed;
    },
  });
  addSet(registry, endpoint.command('set'));
  addPlaceLimit(registry, endpoint.command('limit'), 'endpoint');
  addCordons(registry, endpoint);
  const remove = endpoint
    .command('remove')
    .description('Removes an endpoint that no migration uses.')
    .argument('<id>', 'name of the endpoint');
  leaf(registry, remove, {
    examples: ['lmas endpoint remove host-a'],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      await (await invocation.client()).deleteEndpoint(id, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ removed: id });
      else invocation.print(`Endpoint ${id} removed.`);
      return EXIT.ok;
    },
  });
}

function addCordons(registry: Registry, endpoint: Registry['program']): void {
  const cordons = [
    {
      verb: 'cordon',
      takesNone: true,
      description:
        'Lets it take no VMs, as before maintenance: balancing, evacuations and plans send it none, and a migration to it is refused unless it says --allow-cordoned. What it has stays, and may leave.',
    },
    { verb: 'uncordon', takesNone: false, description: 'Lets it take VMs again.' },
  ];
  for (const { verb, takesNone, description } of cordons) {
    const command = endpoint.command(verb).description(description).argument('<id>', 'name of the endpoint');
    leaf(registry, command, {
      examples: [`lmas endpoint ${verb} host-a`],
      action: async (invocation) => {
        const id = invocation.args[0] ?? '';
        const changed = await (await invocation.client()).setCordon(id, takesNone, { signal: invocation.signal });
        if (invocation.flags.json === true) invocation.printJson(changed);
        else invocation.print(`Endpoint ${id} takes ${takesNone ? 'no VMs any more.' : 'VMs.'}`);
        return EXIT.ok;
      },
    });
  }
}

function addAdd(registry: Registry, command: Registry['program']): void {
  command
    .description(
      "Registers an endpoint. Its --config settings are the plugin's own: lmas plugin get NAME lists them. Dots reach into nested settings, a list is given by naming its key again.",
    )
    .argument('<id>', 'its name: lower-case letters, digits, hyphens')
    .requiredOption('--site <id>', 'site that it belongs to (required)')
    .requiredOption('--plugin <name>', 'kind of hypervisor: kvm, … (required)')
    .requiredOption('--credential <id>', 'credential to log in with, see lmas credential (required)')
    .option('--config <key=value>', 'one setting of the plugin (repeatable)', collect)
    .addOption(new Option('--config-file <file>', 'all settings as JSON; "-" is standard input').conflicts('config'));
  leaf<EndpointAddFlags>(registry, command, {
    examples: [
      'lmas endpoint add host-a --site a --plugin kvm --credential ops --config-file host-a.json',
      'lmas endpoint add host-a --site a --plugin kvm --credential ops --config host=192.0.2.11 --config hostKeys=SHA256:… --config migrationAddress=10.1.0.10',
    ],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const input: EndpointInput = {
        id: args[0] ?? '',
        site: flags.site,
        plugin: flags.plugin,
        credential: flags.credential,
        config: await readConfig(invocation, async () => flags.plugin),
      };
      show(invocation, await (await invocation.client()).createEndpoint(input, { signal }));
      return EXIT.ok;
    },
  });
}

function addSet(registry: Registry, command: Registry['program']): void {
  command
    .description(
      'Changes an endpoint: its credential, single settings of its plugin, or all of them. While migrations use it, only its credential may change.',
    )
    .argument('<id>', 'name of the endpoint')
    .option('--credential <id>', 'credential to log in with, see lmas credential')
    .option('--config <key=value>', 'one setting of the plugin; the others stay (repeatable)', collect)
    .addOption(
      new Option('--config-file <file>', 'all settings anew, as JSON; "-" is standard input').conflicts('config'),
    );
  leaf<ConfigFlags & { readonly credential?: string }>(registry, command, {
    examples: [
      'lmas endpoint set host-a --credential ops-2026',
      'lmas endpoint set host-a --config migrationAddress=10.1.0.12',
    ],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const id = args[0] ?? '';
      const { credential, config, configFile } = flags;
      if (credential === undefined && config === undefined && configFile === undefined) {
        throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
          remedy: 'Name --credential, --config or --config-file.',
        });
      }
      const pluginOf = async () => (await (await invocation.client()).getEndpoint(id, { signal })).plugin;
      const settings = await readConfig(invocation, pluginOf);
      const client = await invocation.client();
      const changed = await client.changeEndpoint(
        id,
        (endpoint) => ({
          ...(credential === undefined ? {} : { credential }),
          ...(configFile === undefined ? {} : { config: settings }),
          ...(config === undefined ? {} : { config: mergeSettings(endpoint.config, settings) }),
        }),
        { signal },
      );
      show(invocation, changed);
      return EXIT.ok;
    },
  });
}

/** @param pluginOf whose schema says what is a number and what a text; asked when there is something to say it of */
async function readConfig(
  { flags, terminal, signal, client }: Invocation<ConfigFlags>,
  pluginOf: () => Promise<string>,
): Promise<Record<string, unknown>> {
  if (flags.configFile !== undefined) {
    const config = await readJson(flags.configFile, terminal);
    if (typeof config === 'object' && config !== null && !Array.isArray(config))
      return config as Record<string, unknown>;
    throw new CliError('INPUT_UNREADABLE', `${flags.configFile} holds no JSON object.`);
  }
  const settings = flags.config ?? [];
  for (const setting of settings) parseAssignment(setting, '--config');
  if (settings.length === 0) return {};
  const [plugins, plugin] = [await (await client()).listPlugins({ signal }), await pluginOf()];
  return parseSettings(settings, '--config', plugins.find(({ name }) => name === plugin)?.configSchema);
}

function show(invocation: Invocation<object>, endpoint: Endpoint): void {
  const { flags, terminal } = invocation;
  if (flags.json === true) {
    invocation.printJson(endpoint);
    return;
  }
  const fields = [
    ['Endpoint', endpoint.id],
    ['Site', endpoint.site],
    ['Plugin', endpoint.plugin],
    ['Credential', endpoint.credential],
    ['Created', formatTime(endpoint.createdAt)],
    ['Cordoned', isCordoned(endpoint) ? `takes no VMs since ${formatTime(endpoint.cordonedAt)}` : ''],
    ['Config', JSON.stringify(endpoint.config, null, 2)],
  ] as const;
  invocation.print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
}
