/** `lmas webhook`: who is told of what, and what was sent. A secret is printed once, when it is made. */
import type { NewWebhook, Webhook, WebhookDelivery, WebhookInput } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { Option } from 'commander';
import { collect, type Invocation, leaf, type Registry } from '../command.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { type Column, renderFields } from '../output/table.ts';
import { type PageFlags, readPages, withPageOptions } from '../pages.ts';
import { widthOf } from '../terminal.ts';

type Events = NonNullable<WebhookInput['events']>;

const COLUMNS: readonly Column<Webhook>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'URL', value: ({ url }) => url, minWidth: 20 },
  { title: 'STATE', value: stateOf, minWidth: 8 },
  { title: 'EVENTS', value: ({ events }) => events?.join(', ') ?? 'all', minWidth: 8, dropOrder: 1 },
];

const DELIVERIES: readonly Column<WebhookDelivery>[] = [
  { title: 'ID', value: ({ id }) => id },
  { title: 'EVENT', value: ({ event }) => event },
  { title: 'STATUS', value: ({ status }) => status },
  { title: 'ATTEMPTS', value: ({ attempts }) => String(attempts.length), align: 'right' },
  { title: 'LAST', value: ({ attempts }) => lastOf(attempts.at(-1)), minWidth: 12 },
  { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt), dropOrder: 1 },
];

function stateOf({ disabled, failingSince }: Webhook): string {
  if (disabled !== null) return `off: ${disabled.reason}`;
  return failingSince === null ? 'works' : `fails since ${formatTime(failingSince)}`;
}

function lastOf(attempt: WebhookDelivery['attempts'][number] | undefined): string {
  if (attempt === undefined) return '';
  return attempt.fault === null ? `answered with ${attempt.status}` : `${attempt.fault}: ${attempt.message ?? ''}`;
}

interface SetFlags {
  readonly to?: string;
  readonly event?: readonly string[];
  readonly allEvents?: boolean;
  readonly description?: string;
}

function addSet(registry: Registry, command: Registry['program']): void {
  command
    .description('Changes a webhook; what is not named stays, its secret among it.')
    .argument('<id>', 'name of the webhook')
    .option('--to <url>', 'https:// URL that takes the messages')
    .option('--event <event>', 'only this event from now on (repeatable)', collect)
    .addOption(new Option('--all-events', 'every event from now on').conflicts('event'))
    .option('--description <text>', 'what it is for, for people');
  leaf<SetFlags>(registry, command, {
    examples: ['lmas webhook set portal --to https://portal-2.example.org/hooks/lmas --all-events'],
    action: async (invocation) => {
      const { to, event, allEvents, description } = invocation.flags;
      const change = {
        ...(to === undefined ? {} : { url: to }),
        ...(event === undefined ? {} : { events: [...event] as Events }),
        ...(allEvents === true ? { events: null } : {}),
        ...(description === undefined ? {} : { description }),
      };
      if (Object.keys(change).length === 0) {
        throw new CliError('INVALID_VALUE', 'There is nothing to change.', {
          remedy: 'Name what shall change: --to, --event, --all-events or --description.',
        });
      }
      const id = invocation.args[0] ?? '';
      const changed = await (await invocation.client()).updateWebhook(id, change, invocation);
      if (invocation.flags.json === true) invocation.printJson(changed);
      else invocation.print(`Webhook ${id} changed.`);
      return EXIT.ok;
    },
  });
}

export function addWebhook(registry: Registry): void {
  const webhook = registry.program
    .command('webhook')
    .summary('who is told of what happens')
    .description('Webhooks: messages to a URL, signed as Standard Webhooks says.');
  const add = webhook
    .command('add')
    .description('Registers a webhook and prints its secret, this once.')
    .argument('<id>', 'its name')
    .argument('<url>', 'https:// URL that takes the messages')
    .option('--event <event>', 'only this event, e.g. migration.succeeded (repeatable; default: all)', collect)
    .option('--description <text>', 'what it is for, for people');
  leaf<{ event?: readonly string[]; description?: string }>(registry, add, {
    examples: ['lmas webhook add portal https://portal.example.org/hooks/lmas --event migration.succeeded'],
    action: async (invocation) => {
      const [id = '', url = ''] = invocation.args;
      const { event, description } = invocation.flags;
      const events = event === undefined ? null : ([...event] as Events);
      const input = { id, url, events, ...(description === undefined ? {} : { description }) };
      return showSecret(invocation, await (await invocation.client()).createWebhook(input, invocation));
    },
  });
  addSet(registry, webhook.command('set'));
  const list = webhook
    .command('list')
    .description('Lists the webhooks and how each is doing.')
    .option('--needs-person', 'only those to which nothing gets through, or that were switched off for that');
  leaf<{ needsPerson?: boolean }>(registry, list, {
    examples: ['lmas webhook list'],
    action: async (invocation) => {
      const { signal, flags } = invocation;
      const needs = flags.needsPerson === true ? { needs: 'person' as const } : {};
      const items = await (await invocation.client()).listWebhooks({ signal, ...needs });
      if (flags.json === true) invocation.printJson({ items });
      else {
        invocation.printTable(
          COLUMNS,
          items,
          flags.needsPerson === true ? 'No webhook needs a person.' : 'No webhooks.',
        );
        if (flags.needsPerson === true && items.length > 0) {
          invocation.note('Why: lmas webhook deliveries ID. When that is mended: lmas webhook enable ID.');
        }
      }
      return EXIT.ok;
    },
  });
  addOne(registry, webhook, 'get', 'Shows one webhook, without its secret.', {
    run: async (invocation, id) => {
      const shown = await (await invocation.client()).getWebhook(id, invocation);
      return showFields(invocation, shown, [
        ['Webhook', shown.id],
        ['URL', shown.url],
        ['Description', shown.description],
        ['Events', shown.events?.join('\n') ?? 'all'],
        ['State', stateOf(shown)],
        ['Created', formatTime(shown.createdAt)],
      ]);
    },
  });
  addOne(registry, webhook, 'rotate-secret', 'Makes a new secret; for a day the former one signs as well.', {
    run: async (invocation, id) =>
      showSecret(invocation, await (await invocation.client()).rotateWebhookSecret(id, invocation)),
  });
  for (const enabled of [true, false]) {
    const description = enabled ? 'Switches it on again.' : 'Sends nothing more until it is switched on again.';
    addOne(registry, webhook, enabled ? 'enable' : 'disable', description, {
      run: async (invocation, id) => {
        const changed = await (await invocation.client()).updateWebhook(id, { enabled }, invocation);
        if (invocation.flags.json === true) invocation.printJson(changed);
        else invocation.print(`Webhook ${id}: ${stateOf(changed)}.`);
        return EXIT.ok;
      },
    });
  }
  addOne(registry, webhook, 'remove', 'Removes it, with its deliveries.', {
    run: async (invocation, id) => {
      await (await invocation.client()).deleteWebhook(id, invocation);
      if (invocation.flags.json === true) invocation.printJson({ removed: id });
      else invocation.print(`Webhook ${id} removed.`);
      return EXIT.ok;
    },
  });
  addOne(registry, webhook, 'test', 'Sends a message that means nothing, to see whether it arrives.', {
    run: async (invocation, id) =>
      showDelivery(invocation, await (await invocation.client()).testWebhook(id, invocation)),
  });
  addDeliveries(registry, webhook.command('deliveries'));
  const delivery = webhook
    .command('delivery')
    .description('Shows one delivery: what was sent, each attempt, and what came of it.')
    .argument('<id>', 'name of the webhook')
    .argument('<delivery>', 'id of the delivery, msg_…');
  leaf(registry, delivery, {
    examples: ['lmas webhook delivery portal msg_0f6d9c5e2ab14e7d8c3b9a0f12345678'],
    action: async (invocation) => {
      const [id = '', message = ''] = invocation.args;
      const shown = await (await invocation.client()).getWebhookDelivery(id, message, invocation);
      return showFields(invocation, shown, [
        ['Delivery', shown.id],
        ['Event', shown.event],
        ['Status', shown.status],
        ['Created', formatTime(shown.createdAt)],
        ['Attempts', shown.attempts.map((one) => `${formatTime(one.at)}  ${lastOf(one)}`).join('\n')],
      ]);
    },
  });
  const redeliver = webhook
    .command('redeliver')
    .description('Sends the same message again.')
    .argument('<id>', 'name of the webhook')
    .argument('<delivery>', 'id of the delivery, msg_…');
  leaf(registry, redeliver, {
    examples: ['lmas webhook redeliver portal msg_0f6d9c5e2ab14e7d8c3b9a0f12345678'],
    action: async (invocation) => {
      const [id = '', delivery = ''] = invocation.args;
      return showDelivery(invocation, await (await invocation.client()).redeliverWebhook(id, delivery, invocation));
    },
  });
}

function addDeliveries(registry: Registry, command: Registry['program']): void {
  command
    .description('Lists what was sent and what came of it, newest first: the last 50, or as many as asked for.')
    .argument('<id>', 'name of the webhook');
  leaf<PageFlags>(registry, withPageOptions(command), {
    examples: ['lmas webhook deliveries portal', 'lmas webhook deliveries portal --all --json'],
    action: async (invocation) => {
      const [id = ''] = invocation.args;
      const client = await invocation.client();
      const page = await readPages(invocation.flags, (query) => client.listWebhookDeliveries(id, query, invocation));
      if (invocation.flags.json === true) invocation.printJson(page);
      else {
        invocation.printTable(DELIVERIES, page.items, 'Nothing was sent yet.');
        if (page.nextCursor !== null) invocation.note(`There are more: lmas webhook deliveries ${id} --all`);
      }
      return EXIT.ok;
    },
  });
}

function addOne(
  registry: Registry,
  webhook: Registry['program'],
  name: string,
  description: string,
  { run }: { run: (invocation: Invocation<object>, id: string) => Promise<ExitCode> },
): void {
  leaf(registry, webhook.command(name).description(description).argument('<id>', 'name of the webhook'), {
    examples: [`lmas webhook ${name} portal`],
    action: (invocation) => run(invocation, invocation.args[0] ?? ''),
  });
}

function showFields(
  { flags, terminal, print, printJson }: Invocation<object>,
  document: object,
  fields: readonly (readonly [string, string])[],
): ExitCode {
  if (flags.json === true) printJson(document);
  else print(renderFields(fields, widthOf(terminal.stdout, terminal.env)));
  return EXIT.ok;
}

function showSecret(invocation: Invocation<object>, webhook: NewWebhook): ExitCode {
  invocation.terminal.tellsOnce?.(
    `Nobody has its secret: lmas webhook rotate-secret ${webhook.id} makes a new one, or remove it with lmas webhook remove ${webhook.id}.`,
  );
  if (invocation.flags.json === true) invocation.printJson(webhook);
  else {
    invocation.print(webhook.secret);
    invocation.note(`The secret of webhook ${webhook.id}: shown now and never again.`);
  }
  return EXIT.ok;
}

function showDelivery(invocation: Invocation<object>, delivery: WebhookDelivery): ExitCode {
  if (invocation.flags.json === true) invocation.printJson(delivery);
  else {
    invocation.print(`${delivery.id}: on its way to ${delivery.webhook}.`);
    invocation.note(`  What came of it:  lmas webhook deliveries ${delivery.webhook}`);
  }
  return EXIT.ok;
}
