/**
 * TLS from certificate files, which may be replaced while the server runs: they are looked at again and again, and at once
 * on SIGHUP. A pair that does not fit (one file replaced, the other not yet) is not taken; the one before goes on.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls';
import { LmasError } from '../errors.ts';
import type { Logger } from '../log.ts';

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TlsPair extends SecureContextOptions {
  readonly cert: string;
  readonly key: string;
  readonly minVersion: 'TLSv1.2';
}

const SOON_MS = 14 * 24 * 3_600_000;

/** Reads and checks the pair. @throws LmasError INVALID_CONFIG saying which file is wrong, and how */
export async function readTlsPair({ certFile, keyFile }: TlsFiles): Promise<TlsPair> {
  const read = (file: string) =>
    readFile(file, 'utf8').catch((cause: unknown) => {
      throw new LmasError('INVALID_CONFIG', `${file} cannot be read.`, { cause });
    });
  const [cert, key] = await Promise.all([read(certFile), read(keyFile)]);
  const parse = <T>(file: string, what: string, make: () => T): T => {
    try {
      return make();
    } catch (cause) {
      throw new LmasError('INVALID_CONFIG', `${file} holds no ${what} in PEM.`, { cause });
    }
  };
  const leaf = parse(certFile, 'certificate', () => new X509Certificate(cert));
  const privateKey = parse(keyFile, 'private key without a passphrase', () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new LmasError('INVALID_CONFIG', `${keyFile} is not the key of the certificate in ${certFile}.`);
  }
  const pair: TlsPair = { cert, key, minVersion: 'TLSv1.2' };
  parse(certFile, 'usable certificate chain', () => createSecureContext(pair));
  return pair;
}

/** When the certificate ends. */
export const endOf = ({ cert }: TlsPair): Date => new Date(new X509Certificate(cert).validTo);

/** Warns of a certificate that ends soon or has ended. */
export function warnOfExpiry({ cert }: TlsPair, { certFile }: TlsFiles, log: Logger): void {
  const { validTo } = new X509Certificate(cert);
  const leftMs = Date.parse(validTo) - Date.now();
  if (leftMs < SOON_MS) log.warn({ certFile, validTo }, leftMs < 0 ? 'the certificate has expired' : 'it expires soon');
}

/** Follows the files until stopped. Connections that are open keep what they have. */
export function followTlsFiles(
  server: Server,
  files: TlsFiles,
  { current, intervalMs, log }: { current: TlsPair; intervalMs: number; log: Logger },
): { stop(): void } {
  let inUse = current;
  let complaint = '';
  const look = async (): Promise<void> => {
    try {
      const pair = await readTlsPair(files);
      complaint = '';
      if (pair.cert === inUse.cert && pair.key === inUse.key) return;
      server.setSecureContext(pair);
      inUse = pair;
      log.info({ certFile: files.certFile }, 'the new certificate is in use');
      warnOfExpiry(pair, files, log);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (text !== complaint) log.warn({ err: error }, 'the certificate files are not usable now; the former go on');
      complaint = text;
    }
  };
  const onHangUp = () => void look();
  const timer = setInterval(onHangUp, intervalMs).unref();
  process.on('SIGHUP', onHangUp);
  return {
    stop() {
      clearInterval(timer);
      process.off('SIGHUP', onHangUp);
    },
  };
}
