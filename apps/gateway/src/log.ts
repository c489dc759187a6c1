/**
 * JSON lines on standard error or in a file: time, level, message, fields. Nobody passes it a secret.
 * What cannot be written is lost, and told in number once it can be again: no full disk, no log reader that is gone, and no lack of
 * descriptors ends a gateway that carries a VM.
 */
import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';

export type Level = 'debug' | 'info' | 'warn' | 'error';
const order: readonly Level[] = ['debug', 'info', 'warn', 'error'];

export interface Log {
  debug(message: string, fields?: Record<string, unknown>): void;
  info(message: string, fields?: Record<string, unknown>): void;
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

/** @param file null is standard error. @throws where the file cannot be opened now; a later error costs lines alone */
export function createLog(file: string | null, least: Level = 'info'): Log {
  const out = file === null ? standardError() : openFile(file);
  let lost = 0;
  const append = (level: Level, message: string, fields: Record<string, unknown>, standsFor = 1): void => {
    out(`${JSON.stringify({ time: new Date().toISOString(), level, message, ...fields })}\n`, (isWritten) => {
      if (!isWritten) lost += standsFor;
      else if (lost > 0) {
        const missing = lost;
        lost = 0;
        append('warn', 'lines before this could not be written', { lost: missing }, missing);
      }
    });
  };
  const write =
    (level: Level) =>
    (message: string, fields: Record<string, unknown> = {}) => {
      if (order.indexOf(level) >= order.indexOf(least)) append(level, message, fields);
    };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

type Out = (line: string, done: (isWritten: boolean) => void) => void;

function standardError(): Out {
  process.stderr.on('error', () => undefined); // each line is told of it as well
  return (line, done) => void process.stderr.write(line, (error) => done(!error));
}

/** It stays open, for there may be no descriptor left when something is to be said; whoever moves it away to keep it gets a new one. */
function openFile(file: string): Out {
  const open = (): number => openSync(file, 'a', 0o600);
  let descriptor = open();
  let isTorn = false; // a line of which only a part was written
  const isThere = (): boolean => {
    const [named, ours] = [statSync(file, { throwIfNoEntry: false }), fstatSync(descriptor)];
    return named !== undefined && named.ino === ours.ino && named.dev === ours.dev;
  };
  const append = (line: string): boolean => {
    try {
      if (!isThere()) {
        const next = open();
        closeSync(descriptor);
        descriptor = next;
      }
      const text = Buffer.from(isTorn ? `\n${line}` : line);
      isTorn = writeSync(descriptor, text) < text.length;
      return !isTorn;
    } catch {
      return false;
    }
  };
  return (line, done) => done(append(line));
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};
