/**
 * Keeps the log lines of one run with the record of its migration: collected for a moment, written together, fenced like
 * everything that a run writes. Nobody waits for it: a log that cannot be written holds nothing up, and what does not fit
 * is dropped, and said to be. It owns its timer and its place at the tap.
 */
import type { Claim, MigrationStore } from '../migrations/store.ts';
import { toLogEntry } from './log-entry.ts';
import type { LogTap } from './log-tap.ts';

const PAUSE_MS = 250;
/** More than that in one pause, or while Redis is away, is not kept. */
const MAX_WAITING = 200;
const CLOSE_LIMIT_MS = 1_000;

export function keepLog(
  tap: LogTap,
  store: Pick<MigrationStore, 'appendLog'>,
  claim: Pick<Claim, 'id' | 'token'>,
): AsyncDisposable {
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    const lines = waiting;
    waiting = [];
    if (lines.length === 0) return writing;
    // A superseded run, or a Redis that is away: the process's own log has the lines all the same.
    writing = writing.then(() => store.appendLog(claim, lines)).catch(() => undefined);
    return writing;
  };
  const listening = tap.listen(claim.id, (line) => {
    const entry = waiting.length < MAX_WAITING ? toLogEntry(line) : undefined;
    if (entry === undefined) return;
    waiting.push(JSON.stringify(entry));
    timer ??= setTimeout(write, PAUSE_MS).unref();
  });
  return {
    async [Symbol.asyncDispose]() {
      listening[Symbol.dispose]();
      const late = Promise.withResolvers<void>();
      const limit = setTimeout(late.resolve, CLOSE_LIMIT_MS);
      await Promise.race([write(), late.promise]);
      clearTimeout(limit);
    },
  };
}
