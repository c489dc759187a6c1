/**
 * When the certificate ends that callers are shown: of the orchestrator, or of the proxy before it, whose files it cannot
 * see. That the certificate is trusted has been found out before, by the connection itself. It is the one place where the CLI
 * opens a connection without the client: what a caller is shown cannot be asked of the orchestrator, nor read from `fetch`.
 */
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { type Check, check } from './report.ts';

const PATIENCE_MS = 5_000;
const SOON_MS = 14 * 24 * 3_600_000;

/** @throws what the connection met */
async function endOfCertificate(url: URL, signal: AbortSignal): Promise<Date> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const { promise, resolve, reject } = Promise.withResolvers<Date>();
  const port = url.port === '' ? 443 : Number(url.port);
  const socket = connect({ host, port, ...(isIP(host) === 0 ? { servername: host } : {}) });
  const stop = (): void => void socket.destroy(new Error('There was no answer in time.'));
  const either = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  either.addEventListener('abort', stop, { once: true });
  socket.once('secureConnect', () => resolve(new Date(socket.getPeerCertificate().valid_to)));
  socket.once('error', reject);
  try {
    return await promise;
  } finally {
    either.removeEventListener('abort', stop);
    socket.destroy();
  }
}

export async function certificateCheck(baseUrl: string, signal: AbortSignal, now = Date.now()): Promise<Check> {
  const name = 'certificate seen here';
  try {
    const ends = await endOfCertificate(new URL(baseUrl), signal);
    const found = `valid until ${ends.toISOString().slice(0, 10)}`;
    if (ends.getTime() - now > SOON_MS) return check(name, 'ok', found);
    return check(name, 'warning', found, 'Replace it where TLS ends: at the orchestrator, or at the proxy before it.');
  } catch (error) {
    signal.throwIfAborted();
    return check(name, 'failed', error instanceof Error ? error.message : String(error));
  }
}
