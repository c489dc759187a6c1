/**
 * What a portal does with LMAS, from end to end: submit a migration, follow it by webhook and by server-sent events, and
 * cancel one. See docs/portal-guide.md. Run it against an orchestrator that has the VMs and endpoints:
 *
 *   LMAS_URL=http://127.0.0.1:7070 LMAS_API_KEY_FILE=/var/lib/lmas/api-key \
 *     node_modules/.bin/node docs/examples/portal.ts web-1 web-2 host-a host-b
 *
 * For sites without gateways, such as those of the simulated hypervisor, with `--direct` behind it.
 * The receiver listens on loopback here, so the orchestrator needs LMAS_WEBHOOK_ALLOW=127.0.0.1.
 */
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { createLmasClient, LmasApiError, type LmasClient, type Migration } from '@lmas/client';
import { Webhook as Verifier } from 'standardwebhooks';

export interface Order {
  /** The portal's own name for the task; comes back in everything. */
  readonly task: string;
  readonly vm: string;
  readonly source: string;
  readonly destination: string;
  /** `direct` where the sites have no gateways: from host to host, as without LMAS. */
  readonly transport?: 'tunnel' | 'direct';
}

/** Safe to call again with the same task, also after a crash in between: it is one migration. */
export async function submit(client: LmasClient, { task, ...move }: Order): Promise<Migration> {
  const input = { ...move, correlationId: task, labels: { via: 'portal' } };
  return await client.createMigration(input, { idempotencyKey: `portal-${task}` });
}

/** Until the end, over lost connections and restarts of the orchestrator. */
export async function follow(client: LmasClient, id: string, say: (line: string) => void): Promise<Migration> {
  let last = await client.getMigration(id);
  for await (const { event } of client.watchMigration(id)) {
    last = event.migration;
    if (event.type === 'phase' || event.type === 'end') say(`events:  ${last.vm.name} ${event.message}`);
  }
  return last;
}

/** True when it will be stopped; false when the hand-over has begun, or it is over: then it ends by itself. */
export async function cancel(client: LmasClient, id: string): Promise<boolean> {
  try {
    await client.cancelMigration(id);
    return true;
  } catch (error) {
    const isTooLate =
      error instanceof LmasApiError && ['PAST_POINT_OF_NO_RETURN', 'ALREADY_ENDED'].includes(error.code);
    if (isTooLate) return false;
    throw error;
  }
}

interface Message {
  readonly type: string;
  readonly data: { readonly id: string; readonly correlationId: string | null; readonly phase: string };
}

/** A receiver of webhooks: verifies, drops doubles, answers at once and works afterwards. */
export async function receive(say: (line: string) => void) {
  const seen = new Set<string>(); // a real portal keeps the ids of some days in its database
  const news = new EventEmitter<{ message: [Message] }>();
  let secret: string | undefined;
  const server = createServer(async (request, response) => {
    const body = await text(request);
    try {
      if (secret === undefined) throw new Error('the secret is not known yet');
      const message = new Verifier(secret).verify(body, request.headers as Record<string, string>) as Message;
      response.writeHead(204).end();
      const id = String(request.headers['webhook-id']);
      if (seen.has(id)) return;
      seen.add(id);
      say(`webhook: ${message.type} for ${message.data.correlationId}`);
      news.emit('message', message);
    } catch (error) {
      response.writeHead(400).end(); // it will come again
      say(`webhook refused: ${String(error)}`);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/lmas`,
    news,
    trust(newSecret: string) {
      secret = newSecret;
    },
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** The whole story. Answers how the two migrations ended, and what the webhooks told. */
export async function main(
  client: LmasClient,
  vms: readonly [moved: string, kept: string],
  ends: Omit<Order, 'task' | 'vm'>,
  say: (line: string) => void,
) {
  const receiver = await receive(say);
  const id = `portal-${randomUUID().slice(0, 8)}`;
  const told: string[] = [];
  receiver.news.on('message', ({ type }) => told.push(type));
  try {
    const events = ['migration.succeeded', 'migration.failed', 'migration.cancelled'] as const;
    const { secret } = await client.createWebhook({ id, url: receiver.url, events: [...events] });
    receiver.trust(secret);

    const moved = await submit(client, { task: `move-${id}`, vm: vms[0], ...ends });
    say(`submitted ${moved.id}`);
    const first = await follow(client, moved.id, say);

    const kept = await submit(client, { task: `keep-${id}`, vm: vms[1], ...ends });
    say((await cancel(client, kept.id)) ? `cancelled ${kept.id}` : `${kept.id} could not be cancelled any more`);
    const second = await follow(client, kept.id, say);

    while (told.length < 2) await once(receiver.news, 'message', { signal: AbortSignal.timeout(30_000) });
    return { first, second, told };
  } finally {
    await client.deleteWebhook(id).catch(() => undefined); // it may never have been made
    await receiver.close();
  }
}

if (import.meta.main) {
  const isDirect = process.argv.includes('--direct');
  const [moved, kept, source, destination] = process.argv.slice(2).filter((argument) => argument !== '--direct');
  const keyFile = process.env.LMAS_API_KEY_FILE ?? '/var/lib/lmas/api-key';
  if (moved === undefined || kept === undefined || source === undefined || destination === undefined) {
    console.error('Usage: node docs/examples/portal.ts VM-TO-MOVE VM-TO-CANCEL SOURCE DESTINATION [--direct]');
    process.exit(2);
  }
  const client = createLmasClient({
    baseUrl: process.env.LMAS_URL ?? 'http://127.0.0.1:7070',
    apiKey: (await readFile(keyFile, 'utf8')).trim(),
  });
  const transport = isDirect ? 'direct' : 'tunnel';
  try {
    await main(client, [moved, kept], { source, destination, transport }, (line) => console.log(line));
  } catch (error) {
    if (!(error instanceof LmasApiError)) throw error;
    console.error(`${error.code}: ${error.title} ${error.detail ?? ''}`);
    process.exitCode = 1;
  }
}
