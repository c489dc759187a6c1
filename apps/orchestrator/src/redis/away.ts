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
