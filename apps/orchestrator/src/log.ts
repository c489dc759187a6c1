/**
 * Structured logs. The second line of defence against secrets in them: the first is that nothing hands one over.
 */
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

const SECRET_FIELDS = ['authorization', 'password', 'passphrase', 'privateKey', 'secret', 'apiKey', 'cookie'];
const REDACTED = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]);

export function createLog(level: string): Logger {
  return pino({ level, base: null, redact: { paths: REDACTED, censor: '[redacted]' } });
}
