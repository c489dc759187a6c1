/** `lmas api-key`: keys for people and portals. A new key is printed once, or goes into a private file. */
import type { ApiKey, NewApiKey, Role } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { createPrivateFile } from '../private-file.ts';
import { widthOf } from '../terminal.ts';
import { parseDuration } from '../units.ts';

const ROLES: readonly Role[] = ['viewer', 'operator', 'admin'];

const COLUMNS: readonly Column<ApiKey>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'NAME', value: ({ name }) => name, minWidth: 8 },
  { title: 'ROLE', value: ({ role }) => role },
  {
    title: 'OPERATIONS',
    value: ({ operations }) => (operations === null ? '' : `only: ${operations.join(', ')}`),
    minWidth: 20,
  },
  { title: 'PROJECT', value: ({ project }) => project ?? 'all', dropOrder: 3 },
  { title: 'STATE', value: stateOf },
  { title: 'LAST USED', value: ({ lastUsedAt }) => (lastUsedAt === null ? '' : formatTime(lastUsedAt)), dropOrder: 1 },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 2 },
];

function stateOf({ revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt !== null) return 'revoked';
  if (expiresAt === null) return 'valid';
  return Date.parse(expiresAt) < Date.now() ? 'expired' : `until ${formatTime(expiresAt)}`;
}

interface OutputFlags {
  readonly output?: string;
}
interface CreateFlags extends OutputFlags {
  readonly role: Role;
  readonly project?: string;
  readonly operation?: readonly string[];
  readonly expiresIn?: string;
}

export function addApiKey(registry: Registry): void {
  const apiKey = registry.program
    .command('api-key')
    .summary('keys for people and portals')
    .description('Keys for people and portals. A key is shown once, when it is made; only its hash is kept.');
  addCreate(registry, apiKey.command('create').alias('add'));
  leaf(registry, apiKey.command('list').description('Lists the keys, without their secrets.'), {
    examples: ['lmas api-key list'],
    action: async (invocation) => {
      const items = await (await invocation.client()).listApiKeys({ signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ items });
      else invocation.printTable(COLUMNS, items, 'No API keys.');
      return EXIT.ok;
    },
  });
  leaf(
    registry,
    apiKey.command('get').description('Shows one key, without its secret.').argument('<id>', 'id of the key'),
    {
      examples: ['lmas api-key get k3v9x2m1q8ab'],
      action: async (invocation) => {
        const { args, signal } = invocation;
        show(invocation, await (await invocation.client()).getApiKey(args[0] ?? '', { signal }));
        return EXIT.ok;
      },
    },
  );
  const rotate = apiKey
    .command('rotate')
    .description('Makes a new key under the same id; the former one is accepted for a while more.')
    .argument('<id>', 'id of the key')
    .option('--grace <duration>', 'how long the former key goes on (default: 24h)')
    .option('--output <file>', 'write the key into a new file that only you can read');
  leaf<OutputFlags & { readonly grace?: string }>(registry, rotate, {
    examples: ['lmas api-key rotate k3v9x2m1q8ab --grace 1h --output portal-key'],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const graceMs = flags.grace === undefined ? undefined : parseDuration(flags.grace, 's');
      const client = await invocation.client();
      return await hand(invocation, () => client.rotateApiKey(args[0] ?? '', { graceMs, signal }));
    },
  });
  const revoke = apiKey
    .command('revoke')
    .description('Refuses a key from now on, and for ever.')
    .argument('<id>', 'id of the key');
  leaf(registry, revoke, {
    examples: ['lmas api-key revoke k3v9x2m1q8ab'],
    action: async (invocation) => {
      const id = invocation.args[0] ?? '';
      await (await invocation.client()).revokeApiKey(id, { signal: invocation.signal });
      if (invocation.flags.json === true) invocation.printJson({ revoked: id });
      else invocation.print(`API key ${id} revoked.`);
      return EXIT.ok;
    },
  });
}

function addCreate(registry: Registry, command: Registry['program']): void {
  command
    .description('Makes a key and prints it, this once.')
    .argument('<name>', 'for people: whose it is and what for')
    .addOption(new Option('--role <role>', 'what it may (required)').choices(ROLES).makeOptionMandatory())
    .option('--project <id>', 'bind it to a project')
    .option('--operation <operationId>', 'allow this operation only; may be given several times', collect)
    .option('--expires-in <duration>', 'how long it is valid (default: for ever)')
    .option('--output <file>', 'write the key into a new file that only you can read');
  leaf<CreateFlags>(registry, command, {
    examples: [
      'lmas api-key create "portal of red" --role operator --project red --output red-key',
      'lmas api-key create "night watch" --role viewer --expires-in 720h',
    ],
    action: async (invocation) => {
      const { args, flags, signal } = invocation;
      const expiresInMs = flags.expiresIn === undefined ? undefined : parseDuration(flags.expiresIn, 's');
      const client = await invocation.client();
      const input = {
        name: args[0] ?? '',
        role: flags.role,
        ...(flags.project === undefined ? {} : { project: flags.project }),
        operations: flags.operation === undefined ? null : [...flags.operation],
        expiresAt: expiresInMs === undefined ? null : new Date(Date.now() + expiresInMs).toISOString(),
      };
      return await hand(invocation, () => client.createApiKey(input, { signal }));
    },
  });
}

function show({ flags, terminal, print, printJson }: Invocation<object>, key: ApiKey): void {
  if (flags.json === true) {
    printJson(key);
    return;
  }
  const time = (at: string | null): string => (at === null ? '' : formatTime(at));
  const fields = [
    ['API key', key.id],
    ['Name', key.name],
    ['Role', key.role],
    ['Project', key.project ?? 'all'],
    ['Operations', key.operations?.join('\n') ?? 'all that its role may'],
    ['State', stateOf(key)],
    ['Created', time(key.createdAt)],
    ['Last used', time(key.lastUsedAt)],
  ] as const;
  print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
}

/** Into the file, which is made before the key is, or onto standard output alone, so that it can be piped. */
async function hand(invocation: Invocation<OutputFlags>, make: () => Promise<NewApiKey>) {
  const { output, json } = invocation.flags;
  await using file = output === undefined ? null : await createPrivateFile(output);
  const { key, ...shown } = await make();
  // It is shown this once: better there than nowhere.
  const print = () => {
    invocation.terminal.tellsOnce?.(
      `The key is valid, and nobody has it: lmas api-key revoke ${shown.id}, or lmas api-key rotate ${shown.id} makes it anew.`,
    );
    return json === true ? invocation.printJson({ ...shown, key }) : invocation.print(key);
  };
  if (file === null) print();
  else {
    try {
      await file.write(`${key}\n`);
    } catch (cause) {
      print();
      throw new CliError('SECRET_PRINTED', `${output} could not be written: the key is printed instead.`, {
        remedy: `It is valid: keep it, or revoke it with lmas api-key revoke ${shown.id}.`,
        cause,
      });
    }
    if (json === true) invocation.printJson(shown);
  }
  invocation.note(`API key ${shown.id} (${shown.name}), role ${shown.role}. Keep it: it is not shown again.`);
  return EXIT.ok;
}
