/** `lmas project`: tenants, the endpoints they are given, and how much of the installation they may take. */
import type { Project, ProjectUpdate } from '@lmas/client';
import { formatProjectLimits } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import type { Column } from '../output/table.ts';
import { parseInteger } from '../units.ts';

const COLUMNS: readonly Column<Project>[] = [
  { title: 'PROJECT', value: ({ id }) => id },
  { title: 'ENDPOINTS', value: ({ endpoints }) => (endpoints === null ? 'all' : endpoints.join(', ')), minWidth: 10 },
  { title: 'LIMITS', value: ({ limits }) => formatProjectLimits(limits), minWidth: 10 },
  { title: 'DESCRIPTION', value: ({ description }) => description, dropOrder: 1 },
];

interface ProjectFlags {
  readonly description?: string;
  readonly endpoint?: readonly string[];
  readonly allEndpoints?: boolean;
  readonly maxMigrations?: string;
  readonly maxWaiting?: string;
  readonly maxPriority?: string;
}

export function addProject(registry: Registry): void {
  const project = registry.program
    .command('project')
    .summary('tenants, who see only what is theirs')
    .description(
      'Tenants. Migrations, credentials, webhooks, schedules and plans belong to the project whose key made them; sites and endpoints belong to all, and a project is given endpoints.',
    );
  const leafWith = (name: string, description: string, examples: readonly string[], act: typeof create) =>
    leaf<ProjectFlags>(registry, withSettings(project.command(name).description(description)), {
      examples,
      action: act,
    });
  leafWith(
    'add',
    'Adds a project.',
    [
      'lmas project add red --endpoint host-a --endpoint host-b',
      'lmas project add blue --all-endpoints --max-migrations 5 --max-waiting 200 --max-priority 60',
    ],
    create,
  );
  leafWith(
    'set',
    'Changes a project; what is not named stays, and its endpoints become those that are named. A limit takes effect at once, on what waits; what is under way goes on.',
    ['lmas project set red --all-endpoints', 'lmas project set blue --max-migrations 2 --max-waiting unlimited'],
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
    .addOption(new Option('--all-endpoints', 'give it all there are and will be').conflicts('endpoint'))
    .option(
      '--max-migrations <n>',
      'how many of its migrations may be under way at once, or "unlimited"; 0 lets none begin',
    )
    .option('--max-waiting <n>', 'how many may wait, or "unlimited"; one more is refused')
    .option('--max-priority <n>', 'the highest priority that it may ask for, or "unlimited"; more is refused');
}

function settingsOf({ description, endpoint, allEndpoints, ...flags }: ProjectFlags) {
  const limits = limitsOf(flags);
  return {
    ...(description === undefined ? {} : { description }),
    ...(allEndpoints === true ? { endpoints: null } : endpoint === undefined ? {} : { endpoints: [...endpoint] }),
    ...(Object.keys(limits).length === 0 ? {} : { limits }),
  };
}

function limitsOf({ maxMigrations, maxWaiting, maxPriority }: ProjectFlags): NonNullable<ProjectUpdate['limits']> {
  const limit = (text: string, max: number) => (text === 'unlimited' ? null : parseInteger(text, { min: 0, max }));
  return {
    ...(maxMigrations === undefined ? {} : { maxMigrations: limit(maxMigrations, 100_000) }),
    ...(maxWaiting === undefined ? {} : { maxWaiting: limit(maxWaiting, 1_000_000) }),
    ...(maxPriority === undefined ? {} : { maxPriority: limit(maxPriority, 100) }),
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
      remedy: 'Name --description, --endpoint, --all-endpoints or a limit.',
    });
  }
  return show(invocation, await (await invocation.client()).updateProject(args[0] ?? '', settings, { signal }));
}

function show(invocation: Invocation<object>, project: Project) {
  if (invocation.flags.json === true) invocation.printJson(project);
  else invocation.printTable(COLUMNS, [project], '');
  return EXIT.ok;
}
