/**
 * The key that opens a new installation: made once, for the whole installation, and left in a private file in the data
 * directory. When no key of that kind is usable any more, the next start makes another one: whoever can read the data
 * directory owns the installation anyway. With tokens (OIDC) as a second way in, it does not.
 */
import { readFile, rm } from 'node:fs/promises';
import type { Logger } from '../log.ts';
import { type ApiKeys, generateApiKey, isUsable } from './api-keys.ts';
import { createPrivateFile } from './key-files.ts';

const FIRST = { name: 'first', role: 'admin', project: null, operations: null, expiresAt: null } as const;
const BY = 'lmas-orchestrator';

export async function ensureAdminKey(
  apiKeys: ApiKeys,
  path: string,
  { otherWaysIn, log }: { otherWaysIn: boolean; log: Logger },
): Promise<void> {
  const all = await apiKeys.list(null);
  const hasAdmin = all.some((key) => key.role === 'admin' && key.project === null && isUsable(key));
  if (hasAdmin || (all.length > 0 && otherWaysIn)) return;
  // A key that is in the file and not on record: Redis is new, or the operator has put it there.
  const given = (await readFile(path, 'utf8').catch(() => '')).trim();
  if (given === '' || !(await apiKeys.register(given, FIRST, BY))) {
    const key = generateApiKey();
    await rm(path, { force: true });
    await createPrivateFile(path, `${key}\n`);
    await apiKeys.register(key, FIRST, BY);
  }
  log.info({ apiKeyFile: path }, 'an API key of role admin has been made; it is in this file');
}
