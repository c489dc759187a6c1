/** A self-signed certificate, as a new vCenter has one. Made by openssl in a directory of the caller, and found there again. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';

export interface ServerCertificate {
  readonly key: string;
  readonly cert: string;
  /** SHA-1 in pairs with colons: what a ServiceLocator calls the thumbprint. */
  readonly thumbprint: string;
  /** SHA-256, likewise. */
  readonly fingerprint: string;
}

/** @param host the address or name that it is for */
export function certificateFor(directory: string, host: string): ServerCertificate {
  const [key, cert] = [join(directory, 'vcenter.key'), join(directory, 'vcenter.pem')];
  if (!existsSync(cert)) {
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=${isIP(host) > 0 ? 'IP' : 'DNS'}:${host}`];
    execFileSync('openssl', ['req', '-x509', ...curve, ...subject, '-days', '30', '-keyout', key, '-out', cert], {
      stdio: 'pipe',
    });
  }
  const pem = readFileSync(cert, 'utf8');
  const { fingerprint: thumbprint, fingerprint256: fingerprint } = new X509Certificate(pem);
  return { key: readFileSync(key, 'utf8'), cert: pem, thumbprint, fingerprint };
}
