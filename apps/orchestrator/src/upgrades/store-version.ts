/**
 * Which version of this program's records is in Redis. A start brings an older store up to date before anybody works on it, and
 * leaves one alone that a later version has made unreadable here.
 *
 *   version        what it is; a store from before versions were kept is 1
 *   readable from  the oldest version whose programs can still work on it: two versions share one Redis while an installation is
 *                  upgraded, and the older one leaves what it does not know as it is (see redis/stored-json.ts)
 *
 * A step may be taken by several processes at once, and again after a crash: each of its writes changes only what it has read,
 * and does nothing the second time. The version is raised after it, and never lowered.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { KeyRing } from '../access/master-keys.ts';
import type { Vault } from '../access/vault.ts';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { STORE_VERSION } from '../redis/record-versions.ts';
import { keptScript } from '../redis/script.ts';
import { VERSION } from '../version.ts';
import { sealFirstSealsAnew } from './first-seals.ts';

export interface StepTools {
  readonly redis: Redis;
  readonly vault: Vault;
  readonly ring: KeyRing;
}

interface Step {
  /** The version of the store after it. */
  readonly to: number;
  /** The oldest version whose programs can work on the store after it. */
  readonly readableFrom: number;
  readonly what: string;
  /** @returns how many records it changed */
  take(tools: StepTools): Promise<number>;
}

/** In their order, without a gap, up to `STORE_VERSION`. Once released, a step is not changed any more. */
const STEPS: readonly Step[] = [
  {
    ...{ to: 2, readableFrom: 2 },
    what: 'secrets name the master key that they are sealed with',
    take: sealFirstSealsAnew,
  },
  {
    // Nothing changes until the first drill is stored, or ordered for a later time: redis/record-versions.ts.
    ...{ to: 3, readableFrom: 2 },
    what: 'there may be drills',
    take: async () => 0,
  },
  {
    // Likewise, until the first VM that is off is to be moved.
    ...{ to: 4, readableFrom: 2 },
    what: 'VMs that are powered off may be moved',
    take: async () => 0,
  },
];

const READABLE_FROM = STEPS.at(-1)?.readableFrom ?? 1;

const FIELDS = { version: 'version', readableFrom: 'readableFrom', writtenBy: 'writtenBy' } as const;
const number = z.coerce.number().int().min(1);

/**
 * KEYS: store. ARGV: version, readable from, program. Of two that raise it at once the higher one stays; and so does who cannot read it
 * since a record of a kind of its own was stored.
 */
const RAISE = keptScript(`
  local version = tonumber(redis.call('HGET', KEYS[1], '${FIELDS.version}') or '0')
  if version < tonumber(ARGV[1]) then
    local from = tonumber(redis.call('HGET', KEYS[1], '${FIELDS.readableFrom}') or '1')
    if from < tonumber(ARGV[2]) then from = tonumber(ARGV[2]) end
    redis.call('HSET', KEYS[1], '${FIELDS.version}', ARGV[1], '${FIELDS.readableFrom}', from, '${FIELDS.writtenBy}', ARGV[3])
  end
  return 'OK'
`);

/**
 * Before anything else is read. @throws LmasError STORE_TOO_NEW when a later version has changed the store so that this one
 * cannot read it; MASTER_KEY_INVALID when a step needs a key that is not there
 */
export async function openStore(tools: StepTools, log: Logger): Promise<void> {
  const { redis } = tools;
  const found = await versionOf(redis);
  if (found.readableFrom > STORE_VERSION) {
    throw new LmasError(
      'STORE_TOO_NEW',
      `The records in Redis are of version ${found.version}, written by LMAS ${found.writtenBy}; this is LMAS ${VERSION}, which reads those up to ${STORE_VERSION}.`,
      { remedy: 'Install that version again, or restore a backup from before it into another Redis.' },
    );
  }
  for (const { to, readableFrom, what, take } of STEPS.filter(({ to }) => to > found.version)) {
    const changed = await take(tools);
    log.info({ version: to, changed }, `the records are of version ${to} now: ${what}`);
    await RAISE(redis, [keys.store], [to, readableFrom, VERSION]);
  }
}

async function versionOf(redis: Redis) {
  const { version, readableFrom, writtenBy } = FIELDS;
  const [known, from, by] = await redis.hmget(keys.store, version, readableFrom, writtenBy);
  if (known) return { version: number.parse(known), readableFrom: number.parse(from), writtenBy: by ?? '?' };
  const isFresh = (await redis.exists(keys.apiKeys, keys.credentials, keys.sites, keys.migrations)) === 0;
  if (!isFresh) return { version: 1, readableFrom: 1, writtenBy: 'an early version' };
  await RAISE(redis, [keys.store], [STORE_VERSION, READABLE_FROM, VERSION]);
  return { version: STORE_VERSION, readableFrom: READABLE_FROM, writtenBy: VERSION };
}
