/**
 * A line of the process's log as it is kept with the record of its migration. It is shown to whoever may see the
 * migration: so no stacks, and of errors that no table knows not even the text, as everywhere in the API.
 */
import { PLUGIN_ERRORS } from '@lmas/plugin-api';
import { z } from 'zod';
import { ORCHESTRATOR_ERRORS } from '../errors.ts';
import type { LogLevel, MigrationLogEntry } from '../schemas/migration-log.ts';

const LONGEST_MESSAGE = 500;
const LONGEST_FIELDS = 1_000;

const errorSchema = z.looseObject({ code: z.string().optional(), message: z.string().optional() });
const lineSchema = z.looseObject({
  level: z.int(),
  time: z.number(),
  msg: z.string().default(''),
  run: z.int().nullable().default(null),
  err: z.unknown().optional(),
  migration: z.string(),
});

const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

const levelOf = (level: number): LogLevel => (level >= 50 ? 'error' : level >= 40 ? 'warn' : 'info');

/** @param line as pino wrote it. @returns `undefined` for what is no line of a migration's log */
export function toLogEntry(line: string): MigrationLogEntry | undefined {
  const parsed = lineSchema.safeParse(JSON.parse(line));
  if (!parsed.success) return undefined;
  const { level, time, msg, run, err, migration: _, ...fields } = parsed.data;
  const text = JSON.stringify(fields);
  return {
    at: new Date(time).toISOString(),
    level: levelOf(level),
    run,
    message: cut(msg, LONGEST_MESSAGE),
    error: err === undefined ? null : errorOf(err),
    fields: text.length > LONGEST_FIELDS ? { cut: cut(text, LONGEST_FIELDS) } : fields,
  };
}

function errorOf(err: unknown): MigrationLogEntry['error'] {
  const { code = '', message = '' } = errorSchema.safeParse(err).data ?? {};
  const isKnown = Object.hasOwn(ORCHESTRATOR_ERRORS, code) || Object.hasOwn(PLUGIN_ERRORS, code);
  if (isKnown) return { code, message: cut(message, LONGEST_MESSAGE) };
  return { code: 'INTERNAL', message: ORCHESTRATOR_ERRORS.INTERNAL.message };
}
