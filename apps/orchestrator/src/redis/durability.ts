/**
 * The check that a Redis keeps what it is given. One that forgets or evicts is refused, in words; what may lose a moment
 * is warned about.
 */
import type { Redis } from 'ioredis';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { RedisAddress } from './address.ts';
import { mastersOf } from './connect.ts';

interface Settings {
  readonly keepsFile: boolean;
  readonly evictionPolicy: string;
  /** `undefined` where CONFIG is refused. */
  readonly appendfsync: string | undefined;
  readonly replicas: number;
  readonly minReplicasToWrite: number | undefined;
}

const field = (info: string, name: string): string | undefined =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];

async function settingsOf(server: Redis): Promise<Settings> {
  const [persistence, memory, replication] = await Promise.all(
    ['persistence', 'memory', 'replication'].map((section) => server.info(section)),
  );
  const config = async (name: string): Promise<string | undefined> => {
    const answer = await server.config('GET', name).catch(() => []); // managed services refuse CONFIG
    return (answer as string[])[1];
  };
  const minReplicas = await config('min-replicas-to-write');
  return {
    keepsFile: field(persistence ?? '', 'aof_enabled') === '1',
    evictionPolicy: field(memory ?? '', 'maxmemory_policy') ?? 'unknown',
    appendfsync: await config('appendfsync'),
    replicas: Number(field(replication ?? '', 'connected_slaves') ?? 0),
    minReplicasToWrite: minReplicas === undefined ? undefined : Number(minReplicas),
  };
}

/** What makes it unfit, and what may cost the last moment, in words. Pure. */
export function judge(kind: RedisAddress['kind'], settings: Settings): { complaints: string[]; warnings: string[] } {
  const complaints: string[] = [];
  const warnings: string[] = [];
  const { appendfsync, evictionPolicy, replicas, minReplicasToWrite } = settings;
  if (!settings.keepsFile) {
    complaints.push('it keeps no append-only file, so a restart forgets migrations: set `appendonly yes`');
  } else if (appendfsync === 'no') {
    complaints.push('it never makes sure that its file is on the disk: set `appendfsync always`');
  } else if (appendfsync === undefined) {
    warnings.push('it does not say how often it writes to the disk (CONFIG is refused)');
  } else if (appendfsync !== 'always') {
    warnings.push('a crash of its machine may lose the last second of records: set `appendfsync always`');
  }
  if (evictionPolicy !== 'noeviction') {
    complaints.push(`it evicts keys when memory is short (${evictionPolicy}): set \`maxmemory-policy noeviction\``);
  }
  if ((kind === 'sentinel' || kind === 'cluster') && replicas === 0) {
    warnings.push('its master has no replica now: a fail-over has nowhere to go');
  }
  if (kind === 'sentinel' && replicas > 0 && minReplicasToWrite === 0) {
    warnings.push('a master that was cut off goes on taking writes that are lost later: set `min-replicas-to-write 1`');
  }
  return { complaints, warnings };
}

/** Of all servers that keep something of ours. */
export async function examineDurability(
  redis: Redis,
  kind: RedisAddress['kind'],
): Promise<{ complaints: string[]; warnings: string[] }> {
  const verdicts = await Promise.all(mastersOf(redis).map(async (server) => judge(kind, await settingsOf(server))));
  const all = (which: 'complaints' | 'warnings') => [...new Set(verdicts.flatMap((verdict) => verdict[which]))];
  return { complaints: all('complaints'), warnings: all('warnings') };
}

/** @throws LmasError REDIS_UNSUITABLE */
export async function checkDurability(
  redis: Redis,
  { kind, log, allowUnsafe }: { kind: RedisAddress['kind']; log: Logger; allowUnsafe: boolean },
): Promise<void> {
  const { complaints, warnings } = await examineDurability(redis, kind);
  for (const warning of warnings) log.warn({}, `This Redis: ${warning}.`);
  if (complaints.length === 0) return;
  const text = `This Redis would lose migrations: ${complaints.join('; ')}.`;
  if (!allowUnsafe) {
    throw new LmasError('REDIS_UNSUITABLE', text, { remedy: 'Change its settings, or set LMAS_ALLOW_UNSAFE_REDIS.' });
  }
  log.warn({}, text);
}
