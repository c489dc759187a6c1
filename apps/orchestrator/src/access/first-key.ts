/**
 * The key that opens a new installation: made once, for the whole installation, and left in a private file in the data
 * directory. When no key of that kind is usable any more, the next start makes another one: whoever can read the data
 * directory owns the installation anyway. With tokens (OIDC) as a second way in, it does not. It is shown once to whoever started
 * this at a terminal, and stands in no log.
 *
 * Of several that start at once, the one that has the claim makes it; the others wait and look again. The claim is given up in the step
 * that puts the key on record, so whoever slept past its time registers nothing. One that did not change for a while is of somebody who
 * died, and is taken over.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Logger } from '../log.ts';
import { keys } from '../redis/keys.ts';
import { type FieldChange, replaceFields } from '../redis/replace-field.ts';
import { type ApiKeys, generateApiKey, isUsable } from './api-keys.ts';
import { createPrivateFile } from './key-files.ts';

const FIRST = { name: 'first', role: 'admin', project: null, operations: null, expiresAt: null } as const;
const BY = 'lmas-orchestrator';
/** Longer than two files and two scripts take. */
const CLAIM_MS = 10_000;
const LOOK_AGAIN_MS = 100;

type Keys = Pick<ApiKeys, 'list' | 'register'>;

interface Surroundings {
  readonly otherWaysIn: boolean;
  readonly log: Logger;
  /** Shows a key that was made now to the person who sits there; absent where nobody does, and a log would keep it. */
  readonly show?: ((key: string, path: string) => void) | undefined;
  readonly claimMs?: number;
}

export async function ensureAdminKey(
  redis: Redis,
  apiKeys: Keys,
  path: string,
  { otherWaysIn, log, show, claimMs = CLAIM_MS }: Surroundings,
): Promise<void> {
  let [other, since] = ['', 0];
  while (!(await isOpen(apiKeys, otherWaysIn))) {
    const claimed = await redis.hget(keys.firstKey, 'claim');
    if (claimed !== null && claimed !== other) {
      [other, since] = [claimed, performance.now()];
      log.info({}, 'another process makes the first API key: waiting for it');
    }
    const isFree = claimed === null || performance.now() - since > claimMs;
    const me = randomUUID();
    if (!isFree || !(await replaceFields(redis, [claim(claimed, me)]))) {
      await sleep(LOOK_AGAIN_MS);
      continue;
    }
    try {
      // Whoever had the claim before may have made it since we looked.
      if (await isOpen(apiKeys, otherWaysIn)) return;
      if (await make(redis, apiKeys, path, claim(me, null), show)) {
        log.info({ apiKeyFile: path }, 'an API key of role admin has been made; it is in this file');
        return;
      }
    } finally {
      await replaceFields(redis, [claim(me, null)]);
    }
  }
}

const claim = (before: string | null, after: string | null): FieldChange => ({
  ...{ hash: keys.firstKey, field: 'claim', before, after },
});

/** Whether somebody can get in, or it is no business of ours that nobody can. */
async function isOpen(apiKeys: Keys, otherWaysIn: boolean): Promise<boolean> {
  const all = await apiKeys.list(null);
  const hasAdmin = all.some((key) => key.role === 'admin' && key.project === null && isUsable(key));
  return hasAdmin || (all.length > 0 && otherWaysIn);
}

/** @returns false when somebody else has the claim by now: then nothing is on record, nor in the file */
async function make(
  redis: Redis,
  apiKeys: Keys,
  path: string,
  giveUp: FieldChange,
  show: Surroundings['show'],
): Promise<boolean> {
  // A key that is in the file and not on record: Redis is new, or the operator has put it there.
  const given = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (given !== '' && (await apiKeys.register(given, FIRST, BY, giveUp))) return true;
  // Its id is on record already; or the claim is lost, and the file stays as it is.
  if ((await redis.hget(giveUp.hash, giveUp.field)) !== giveUp.before) return false;
  const key = generateApiKey();
  await rm(path, { force: true });
  await createPrivateFile(path, `${key}\n`);
  if (!(await apiKeys.register(key, FIRST, BY, giveUp))) {
    await rm(path, { force: true });
    return false;
  }
  show?.(key, path);
  return true;
}
