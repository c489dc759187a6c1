/**
 * Tells a command that failed because Redis is away, or cannot take it now, from one that Redis refused. ioredis has no
 * codes for it: its words, and the first word of what a server answers, are what there is (`connect.test.ts` provokes them).
 */
const WORDS_OF_IOREDIS = [
  'Reached the max retries per request limit',
  "Stream isn't writeable",
  "Cluster isn't ready",
  'Connection is closed',
  'Command aborted due to connection close',
  'Command timed out',
  'Failed to refresh slots cache',
  'Too many Cluster redirections',
];
/** https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors, and src/server.c of Redis 7 (`shared`). */
const WORDS_OF_SERVERS = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|MISCONF|OOM|BUSY|TRYAGAIN) /;

export function isRedisAway(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { message } = error;
  return WORDS_OF_SERVERS.test(message) || WORDS_OF_IOREDIS.some((words) => message.startsWith(words));
}

/** Why a server that answers takes no writes, and what to do. */
export interface WriteRefusal {
  readonly why: string;
  readonly remedy: string;
}

/** By the first word of its answer. */
const REFUSALS: ReadonlyMap<string, WriteRefusal> = new Map([
  ['OOM', { why: 'its memory is full (OOM)', remedy: 'Raise its `maxmemory`, or give it more memory.' }],
  [
    'MISCONF',
    { why: 'it cannot write its file (MISCONF)', remedy: 'See that its disk has room and that it may write there.' },
  ],
  [
    'READONLY',
    {
      why: 'it is a replica (READONLY)',
      remedy: 'Set REDIS_URL to the master, or make this one the master (REPLICAOF NO ONE).',
    },
  ],
  [
    'NOREPLICAS',
    {
      why: 'too few replicas are connected (NOREPLICAS)',
      remedy: 'Bring them back, or lower its `min-replicas-to-write`.',
    },
  ],
]);

/** `undefined` for an answer that is no refusal of a write. */
export const writeRefusal = (answer: string): WriteRefusal | undefined => REFUSALS.get(answer.split(' ')[0] ?? '');
