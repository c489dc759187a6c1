/**
 * Notices that Redis has fallen silent over a connection that still looks open: a path that swallows everything, a server
 * that stands still. ioredis would wait for ever. While nothing else comes, PING is sent; when several in a row bring
 * nothing either, the socket is destroyed, and ioredis does what it does for every broken one: it connects again.
 *
 * A server that loads its data answers all the while, but only that it does: no silence, and it is said.
 *
 * Silence is counted in beats of our own timer, not by the clock: a process that itself stood still (SIGSTOP, a suspended
 * machine) blames nobody for it. Owns one timer for each socket.
 */
import type { Redis } from 'ioredis';

/** Longer than a healthy server takes for anything; shorter than a run's lease, which then outlives a dead connection. */
export const DEFAULT_SILENCE_MS = 4_000;
const BEATS = 4;
/** In what INFO answers to ioredis, which asks before it calls a connection ready. */
const LOADING = '\r\nloading:1\r\n';

/** How long ioredis may wait before it asks a server that loads its data again: that must not look like silence. */
export const loadingPauseMs = (silenceMs: number): number => silenceMs / 2;

/** @param silenceMs how long nothing may come before the socket is given up; it takes up to a quarter longer */
export function keepHeartbeat(redis: Redis, silenceMs: number): void {
  redis.on('connect', () => {
    const { stream } = redis;
    let silentBeats = 0;
    let asked = false;
    stream.on('data', (chunk: Buffer) => {
      silentBeats = 0;
      const isLoading = redis.status === 'connect' && chunk.includes(LOADING);
      if (isLoading && redis.listenerCount('error') > 0) redis.emit('error', new Error('it is loading its data'));
    });
    const beat = setInterval(() => {
      silentBeats += 1;
      if (silentBeats > BEATS) stream.destroy(new Error(`no answer for ${silenceMs} ms: the connection is given up`));
      if (asked || silentBeats < 2 || redis.status !== 'ready') return; // before that, ioredis asks by itself
      asked = true;
      const answered = () => {
        asked = false;
      };
      redis.ping().then(answered, answered);
    }, silenceMs / BEATS).unref();
    stream.once('close', () => clearInterval(beat));
  });
}
