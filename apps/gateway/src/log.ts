/** JSON lines on standard error or in a file: time, level, message, fields. Nobody passes it a secret. */
import { appendFileSync } from 'node:fs';

export type Level = 'debug' | 'info' | 'warn' | 'error';
const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** `file` null is standard error. */
export function createLog(file: string | null, least: Level = 'info'): Log {
  const write =
    (level: Level) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (order.indexOf(level) < order.indexOf(least)) return;
      const line = `${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`;
      if (file === null) process.stderr.write(line);
      else appendFileSync(file, line, { mode: 0o600 });
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
