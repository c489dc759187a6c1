/**
 * The key that opens a new installation: made once, for the whole installation, and left in a private file in the data
 * directory. When no key of that kind is usable any more, the next start makes another one: whoever can read the data
 * directory owns the installation anyway. With tokens (OIDC) as a second way in, it does not. It is shown once to whoever started
 * this at a terminal, and stands in no log.
 */
import { readFile, rm } from 'node:fs/promises';
import type { Logger } from '../log.ts';
import { type ApiKeys, generateApiKey, isUsable } from './api-keys.ts';
import { createPrivateFile } from './key-files.ts';

const FIRST = { name: 'first', role: 'admin', project: null, operations: null, expiresAt: null } as const;
const BY = 'lmas-orchestrator';

interface Surroundings {
  readonly otherWaysIn: boolean;
  readonly log: Logger;
  /** Shows a key that was made now to the person who sits there; absent where nobody does, and a log would keep it. */
  readonly show?: ((key: string, path: string) => void) | undefined;
}

export async function ensureAdminKey(
  apiKeys: Pick<ApiKeys, 'list' | 'register'>,
  path: string,
  { otherWaysIn, log, show }: Surroundings,
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
    show?.(key, path);
  }
  log.info({ apiKeyFile: path }, 'an API key of role admin has been made; it is in this file');
}
