/**
 * Structured logs. The second line of defence against secrets in them: the first is that nothing hands one over.
 */
import { type Level, type Logger, multistream, pino } from 'pino';
import { LogTap } from './observability/log-tap.ts';
import { RecentLog } from './observability/recent-log.ts';
import { traceFields } from './tracing/spans.ts';

export type { Logger } from 'pino';

const SECRET_FIELDS = [
  ...['authorization', 'password', 'passphrase', 'privateKey', 'secret', 'secrets', 'apiKey', 'cookie', 'key', 'token'],
  ...['sealed', 'masterKey', 'login'],
];
const REDACTED = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]);

export type RootLogger = Logger & { readonly tap: LogTap; readonly recent: RecentLog };

/** Prints lines from `level` on; its `tap` and `recent` hear those from `info` on, redacted like all, also where they are not printed. */
export function createLog(level: string, { traced = false } = {}): RootLogger {
  const tap = new LogTap();
  const recent = new RecentLog();
  const streams = multistream([
    { level: level as Level, stream: process.stdout },
    { level: 'info', stream: tap },
    { level: 'info', stream: recent },
  ]);
  const options = {
    level,
    base: null,
    ...(traced ? { mixin: traceFields } : {}),
    redact: { paths: REDACTED, censor: '[redacted]' },
    serializers: { req: requestOf },
  };
  return Object.assign(pino(options, streams), { tap, recent });
}

const QUIETER_THAN_INFO: ReadonlySet<string> = new Set(['warn', 'error', 'fatal', 'silent']);

/** For the lines of one migration: what its record keeps is the same, however little the process prints. */
export function childForMigration(log: Logger, fields: { migration: string; run: number }): Logger {
  return log.child(fields, QUIETER_THAN_INFO.has(log.level) ? { level: 'info' } : {});
}

/** A request without its query: that is where a key lands that somebody put into the address by mistake. */
function requestOf({ method, url, ip }: { method?: string; url?: string; ip?: string }) {
  return { method, path: url?.split('?')[0], address: ip };
}
