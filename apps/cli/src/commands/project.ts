/** `lmas project`: tenants, and the endpoints they are given. */
import type { Project } from '@lmas/client';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';

const COLUMNS: readonly Column<Project>[] = [
  { title: 'PROJECT', value: ({ id }) => id },
  { title: 'ENDPOINTS', value: ({ endpoints }) => (endpoints === null ? 'all' : endpoints.join(', ')), minWidth: 10 },
  { title: 'DESCRIPTION', value: ({ description }) => description, dropOrder: 1 },
];

interface ProjectFlags {
  readonly description?: string;
  readonly endpoint?: readonly string[];
  readonly allEndpoints?: boolean;
}

export function addProject(registry: Registry): void {
  const project = registry.program
    .command('project')
    .summary('tenants, who see only what is theirs')
    .description(
      'Tenants. Migrations, credentials, webhooks, schedules and plans belong to the project whose key made them; sites and endpoints belong to all, and a project is given endpoints.',
    );
  const leafWith = (name: string, description: string, example: string, act: typeof create) =>
    leaf<ProjectFlags>(registry, withSettings(project.command(name).description(description)), {
      examples: [example],
      action: act,
    });
  leafWith('add', 'Adds a project.', 'lmas project add red --endpoint host-a --endpoint host-b', create);
  leafWith(
    'set',
    'Changes a project; its endpoints become those that are named.',
    'lmas project set red --all-endpoints',
    set,
  );
  leaf(registry, project.command('list').description('Lists the projects.'), {
    examples: ['lmas project list'],
    action: async (invocation) => {
      const items = await (await invocation.client()).listProjects({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(COLUMNS, items, 'No projects.');
      return EXIT.ok;
    },
  });
  leaf(registry, project.command('get').description('Shows one project.').argument('<id>', 'name of the project'), {
    examples: ['lmas project get red'],
    action: async (invocation) => {
      const { args, signal } = invocation;
      return show(invocation, await (await invocation.client()).getProject(args[0] ?? '', { signal }));
    },
  });
  const remove = project
    .command('remove')
    .description('Removes a project to which nothing belongs any more. Its name is not given away again.')
    .argument('<id>', 'name of the project');
  leaf(registry, remove, {
    examples: ['lmas project remove red'],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      await (await invocation.client()).deleteProject(id, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ removed: id });
      else invocation.print(`Project ${id} removed.`);
      return EXIT.ok;
    },
  });
}

function withSettings(command: Registry['program']): Registry['program'] {
  return command
    .argument('<id>', 'its name: lower-case letters, digits, hyphens')
    .option('--description <text>', 'for people')
    .option('--endpoint <id>', 'give it this endpoint; may be given several times', collect)
    .addOption(new Option('--all-endpoints', 'give it all there are and will be').conflicts('endpoint'));
}

function settingsOf({ description, endpoint, allEndpoints }: ProjectFlags) {
  return {
    ...(description === undefined ? {} : { description }),
    ...(allEndpoints === true ? { endpoints: null } : endpoint === undefined ? {} : { endpoints: [...endpoint] }),
  };
}

async function create(invocation: Invocation<ProjectFlags>) {
  const { args, flags, signal } = invocation;
  const input = { id: args[0] ?? '', ...settingsOf(flags) };
  return show(invocation, await (await invocation.client()).createProject(input, { signal }));
}

async function set(invocation: Invocation<ProjectFlags>) {
  const { args, flags, signal } = invocation;
  const settings = settingsOf(flags);
  if (Object.keys(settings).length === 0) {
    throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
      remedy: 'Name --description, --endpoint or --all-endpoints.',
    });
  }
  return show(invocation, await (await invocation.client()).updateProject(args[0] ?? '', settings, { signal }));
}

function show(invocation: Invocation<object>, project: Project) {
  if (invocation.flags.json === true) invocation.printJson(project);
  else invocation.printTable(COLUMNS, [project], '');
  return EXIT.ok;
}
