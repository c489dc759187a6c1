/**
 * Structured logs. The second line of defence against secrets in them: the first is that nothing hands one over.
 */
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

const SECRET_FIELDS = [
  ...['authorization', 'password', 'passphrase', 'privateKey', 'secret', 'secrets', 'apiKey', 'cookie', 'key', 'token'],
  ...['sealed', 'masterKey', 'login'],
];
const REDACTED = SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`, `*.*.*.${name}`]);

export function createLog(level: string): Logger {
  return pino({
    level,
    base: null,
    redact: { paths: REDACTED, censor: '[redacted]' },
    serializers: { req: requestOf },
  });
}

/** A request without its query: that is where a key lands that somebody put into the address by mistake. */
function requestOf({ method, url, ip }: { method?: string; url?: string; ip?: string }) {
  return { method, path: url?.split('?')[0], address: ip };
}
