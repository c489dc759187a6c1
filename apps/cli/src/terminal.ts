/**
 * The outside world of one run: streams, environment, and the signal that the first Ctrl-C aborts. Commands get this
 * and nothing global, so a test can give them its own.
 */
import type { Environment } from './connection.ts';

export interface OutputStream {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly rows?: number | undefined;
}

export interface Terminal {
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly stdin: NodeJS.ReadStream;
  /** What is printed next is told this once: what to do where it does not get out. */
  readonly tellsOnce?: (ifLost: string) => void;
  readonly env: Environment;
  /** Aborted by the first Ctrl-C; a second one ends the process. */
  readonly interrupted: AbortSignal;
}

/** Columns to fit into; Infinity when the output is not a terminal. `COLUMNS` wins, as for other programs. */
export function widthOf(stream: OutputStream, env: Environment): number {
  const wanted = Number(env.COLUMNS);
  if (Number.isInteger(wanted) && wanted >= 20) return wanted;
  return stream.isTTY === true ? (stream.columns ?? 80) : Number.POSITIVE_INFINITY;
}

/** Lines to fit into. */
export const heightOf = (stream: OutputStream): number => stream.rows ?? 24;

/** Whether the locale lets block characters be seen. */
export function hasUnicode(env: Environment): boolean {
  return /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '');
}

/** A line can be rewritten in place there. */
export function isLive(stream: OutputStream, env: Environment): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}
