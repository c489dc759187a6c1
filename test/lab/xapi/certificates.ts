/** Self-signed certificates, one for each member, as XenServer makes them. Written by openssl into a directory of the caller. */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificate } from './wire.ts';

export interface MemberCertificate extends Certificate {
  /** SHA-256, as openssl prints it. */
  readonly fingerprint: string;
}

/** Makes it the first time, and finds it again later: a member keeps its certificate over restarts. */
export function certificateOf(directory: string, member: string): MemberCertificate {
  const [key, cert] = [join(directory, `${member}.key`), join(directory, `${member}.pem`)];
  if (!existsSync(cert)) {
    const subject = ['-subj', `/CN=${member}`, '-days', '30'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' });
  }
  const pem = readFileSync(cert, 'utf8');
  return { key: readFileSync(key, 'utf8'), cert: pem, fingerprint: new X509Certificate(pem).fingerprint256 };
}
