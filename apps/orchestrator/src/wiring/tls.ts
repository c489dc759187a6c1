/** The certificate of the API, and that there is one wherever somebody could listen in. */
import type { Config } from '../config.ts';
import { LmasError } from '../errors.ts';
import { readTlsPair, type TlsFiles, type TlsPair, warnOfExpiry } from '../http/tls.ts';
import type { Logger } from '../log.ts';

export interface Tls {
  readonly files: TlsFiles;
  readonly pair: TlsPair;
}

/** The certificate, if there is one. @throws LmasError INVALID_CONFIG when the API would be open to eavesdroppers */
export async function readTls(
  { tlsCertFile: certFile, tlsKeyFile: keyFile, ...config }: Config,
  log: Logger,
): Promise<Tls | undefined> {
  if (certFile !== undefined && keyFile !== undefined) {
    const files = { certFile, keyFile };
    const pair = await readTlsPair(files);
    warnOfExpiry(pair, files, log);
    return { files, pair };
  }
  if (certFile !== undefined || keyFile !== undefined) {
    throw new LmasError('INVALID_CONFIG', 'LMAS_TLS_CERT_FILE and LMAS_TLS_KEY_FILE go together.');
  }
  if (!isLoopback(config.host)) {
    if (!config.allowPlainHttp) {
      throw new LmasError('INVALID_CONFIG', `The API would listen at ${config.host} in plain HTTP.`, {
        remedy:
          'Set LMAS_TLS_CERT_FILE and LMAS_TLS_KEY_FILE. Or, behind a TLS proxy and nowhere else, LMAS_ALLOW_PLAIN_HTTP=true.',
      });
    }
    log.warn({ host: config.host }, 'the API listens beyond this machine in plain HTTP, as LMAS_ALLOW_PLAIN_HTTP says');
  }
  return undefined;
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
