/**
 * Whether a Redis that answers takes writes, too: one whose memory or disk is full, or that has become a replica, answers every
 * question as if nothing were wrong. It is asked by a small write under a key that nobody reads and that expires; what it said holds
 * for a moment, so that it costs nothing to ask often.
 */
import type { Redis } from 'ioredis';
import { type WriteRefusal, writeRefusal } from './away.ts';
import { keys } from './keys.ts';
import { script } from './script.ts';

/** Resolves with why it takes no writes; `undefined`: it does. @throws what ioredis throws when it does not answer */
export type WriteProbe = () => Promise<WriteRefusal | undefined>;

const HOLDS_MS = 1_000;
const KEPT_MS = 60_000;

/** Its refusal comes back as a text: as an error, READONLY would break the connection (`reconnectOnError`), and its words be lost with it. */
const WRITE = script(`
  local answer = redis.pcall('SET', KEYS[1], '1', 'PX', ARGV[1])
  return answer.err or ''
`);

export function createWriteProbe(redis: Redis): WriteProbe {
  let askedAt = Number.NEGATIVE_INFINITY;
  let verdict: Promise<WriteRefusal | undefined> = Promise.resolve(undefined);
  return () => {
    if (performance.now() - askedAt < HOLDS_MS) return verdict;
    askedAt = performance.now();
    verdict = write(redis);
    verdict.catch(() => {
      askedAt = Number.NEGATIVE_INFINITY; // no answer is no verdict
    });
    return verdict;
  };
}

async function write(redis: Redis): Promise<WriteRefusal | undefined> {
  const answer = String(await WRITE(redis, [keys.writeProbe], [KEPT_MS]));
  if (answer === '') return undefined;
  return writeRefusal(answer) ?? { why: `it answers ${answer}`, remedy: 'See its log.' };
}
