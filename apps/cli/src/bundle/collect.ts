/**
 * Fetches what a report needs, piece by piece, over the API. A piece that cannot be had (no right to it, no such thing, no
 * answer) is named in the manifest with the reason, and the rest goes on.
 */
import os from 'node:os';
import process from 'node:process';
import { hasEnded, type LmasClient, type Migration } from '@lmas/client';
import { failureOf } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { CLI_VERSION } from '../version.ts';
import type { Archive } from './archive.ts';

/** The stream of a migration that goes on has no end: what has come by then is taken. */
const EVENTS_OF_LIVE_MS = 2_000;

export interface Wanted {
  /** These, or else the newest so many. */
  readonly migrations: readonly string[] | number;
  /** The end of it. */
  readonly logFile: string | undefined;
}

export async function collect(
  archive: Archive,
  client: LmasClient,
  wanted: Wanted,
  { signal, onPiece }: { signal: AbortSignal; onPiece: (what: string) => void },
): Promise<void> {
  const at = { signal };
  const piece = async (what: string, fetch: () => Promise<void>): Promise<void> => {
    onPiece(what);
    try {
      await fetch();
    } catch (error) {
      const { exitCode, code, message, remedy } = failureOf(error);
      if (exitCode === EXIT.interrupted) throw error;
      archive.leaveOut(what, [`${code}: ${message.split('\n')[0]}`, remedy].filter(Boolean).join(' '));
    }
  };
  const json = (name: string, what: string, fetch: () => Promise<unknown>): Promise<void> =>
    piece(what, async () => archive.addJson(name, what, await fetch()));

  await json('versions.json', 'versions and plugins', async () => ({
    ...{ cli: CLI_VERSION, node: process.version, system: `${os.type()} ${os.release()} ${os.arch()}` },
    orchestrator: await client.getVersion(at),
    readiness: await client.getReadiness(at),
    plugins: (await client.listPlugins(at)).map(({ name, apiVersion, capabilities }) => ({
      ...{ name, apiVersion, capabilities },
    })),
  }));
  await json('settings.json', 'settings of the orchestrator', () => client.getSettings(at));
  await piece('metrics', async () => archive.addText('metrics.txt', 'metrics', await client.getMetrics(at)));
  await json('queue.json', 'queue', () => client.getQueue(at));
  await json('sites.json', 'sites', () => client.listSites(at));
  await json('endpoints.json', 'endpoints', () => client.listEndpoints(at));
  await json('links.json', 'links', () => client.listLinks(at));
  await json('gateways.json', 'gateways that live', () => client.listGateways(at));
  await json('webhooks.json', 'webhooks', async () =>
    // The path of a webhook's address may be all that its receiver asks for.
    (await client.listWebhooks(at)).map((webhook) => ({ ...webhook, url: new URL(webhook.url).origin })),
  );
  await json('process-log.json', 'newest lines of the orchestrator’s log', () => client.getProcessLog(at));
  if (wanted.logFile !== undefined) {
    archive.addText('log-file.txt', 'end of the log file', wanted.logFile);
  }
  await piece('migrations', async () => {
    for (const id of await idsOf(client, wanted, signal)) {
      await piece(`migration ${id}`, () => addMigration(archive, client, id, signal));
    }
  });
}

async function idsOf(client: LmasClient, { migrations }: Wanted, signal: AbortSignal): Promise<readonly string[]> {
  if (typeof migrations !== 'number') return migrations;
  const ids: string[] = [];
  if (migrations === 0) return ids;
  for await (const { id } of client.eachMigration({ limit: Math.min(200, migrations) }, { signal })) {
    ids.push(id);
    if (ids.length >= migrations) break;
  }
  return ids;
}

async function addMigration(archive: Archive, client: LmasClient, id: string, signal: AbortSignal): Promise<void> {
  const record = await client.getMigration(id, { signal });
  archive.addJson(`migrations/${id}/record.json`, 'record', record);
  archive.addJson(`migrations/${id}/log.json`, 'what its runs logged', await client.getMigrationLog(id, { signal }));
  archive.addJson(
    `migrations/${id}/events.json`,
    'its events, without the record that each carries',
    await eventsOf(client, record, signal),
  );
}

async function eventsOf(client: LmasClient, record: Migration, signal: AbortSignal): Promise<object[]> {
  const enough = hasEnded(record) ? signal : AbortSignal.any([signal, AbortSignal.timeout(EVENTS_OF_LIVE_MS)]);
  const events: object[] = [];
  try {
    for await (const { event } of client.watchMigration(record.id, { signal: enough, giveUpAfterMs: 0 })) {
      const { at, type, message, migration } = event;
      events.push({ at, type, message, phase: migration.phase, progress: migration.progress });
    }
  } catch (error) {
    signal.throwIfAborted();
    if (!enough.aborted) throw error;
  }
  return events;
}
