/**
 * Tells a command that failed because Redis is away, or cannot take it now, from one that Redis refused. ioredis has no
 * codes for it: its words, and the first word of what a server answers, are what there is (`connect.test.ts` provokes them).
 * For people they are put into ours: those tell of options of a library that nobody has set.
 */
const WORDS_OF_IOREDIS: readonly (readonly [theirs: string, ours: string])[] = [
  ['Reached the max retries per request limit', 'the connection was lost before the answer came'],
  ["Stream isn't writeable", 'there is no connection'],
  ["Cluster isn't ready", 'there is no connection to the cluster'],
  ['Connection is closed', 'the connection was closed'],
  ['Command aborted due to connection close', 'the connection was lost before the answer came'],
  ['Command timed out', 'no answer in time'],
  ['Failed to refresh slots cache', 'no server of the cluster says which of them has what'],
  ['Too many Cluster redirections', 'the servers of the cluster do not agree on which of them has what'],
];
/** https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors, and src/server.c of Redis 7 (`shared`). */
const WORDS_OF_SERVERS = /^(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|MISCONF|OOM|BUSY|TRYAGAIN) /;

export function isRedisAway(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { message } = error;
  return WORDS_OF_SERVERS.test(message) || WORDS_OF_IOREDIS.some(([theirs]) => message.startsWith(theirs));
}

/** What is wrong with a connection, for people: without a full stop, and never empty. */
export function inOurWords(error: Error): string {
  const known = WORDS_OF_IOREDIS.find(([theirs]) => error.message.startsWith(theirs));
  return known?.[1] ?? (error.message === '' ? String(error) : error.message);
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
