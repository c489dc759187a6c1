/**
 * Certificates of members: self-signed ones, one for each, as XenServer makes them, or signed by a CA, as an operator installs them.
 * Written by openssl into a directory of the caller.
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Certificate } from './wire.ts';

const CURVE = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1', '-nodes'];

export interface MemberCertificate extends Certificate {
  /** SHA-256, as openssl prints it. */
  readonly fingerprint: string;
}

/** Makes it the first time, and finds it again later: a member keeps its certificate over restarts. */
export function certificateOf(directory: string, member: string): MemberCertificate {
  const [key, cert] = [join(directory, `${member}.key`), join(directory, `${member}.pem`)];
  if (!existsSync(cert)) {
    const subject = ['-subj', `/CN=${member}`, '-days', '30'];
    execFileSync('openssl', ['req', '-x509', ...CURVE, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' });
  }
  const pem = readFileSync(cert, 'utf8');
  return { key: readFileSync(key, 'utf8'), cert: pem, fingerprint: new X509Certificate(pem).fingerprint256 };
}

/** A CA of its own, and what it has signed for one member; `names` as in `subjectAltName`: `IP:…`, `DNS:…`. */
export class CertificateAuthority {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.#openssl(
      'req',
      '-x509',
      ...this.#newKey('ca'),
      '-out',
      'ca.pem',
      '-subj',
      '/CN=a CA of the lab',
      '-days',
      '30',
    );
  }

  /** PEM. */
  get certificate(): string {
    return readFileSync(join(this.#directory, 'ca.pem'), 'utf8');
  }

  certificateFor(member: string, names: readonly string[]): Certificate {
    const file = `${member}-signed`;
    this.#openssl('req', '-new', ...this.#newKey(file), '-out', `${file}.csr`, '-subj', `/CN=${member}`);
    writeFileSync(join(this.#directory, `${file}.ext`), `subjectAltName=${names.join(',')}\n`);
    const signer = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '30'];
    this.#openssl('x509', '-req', '-in', `${file}.csr`, ...signer, '-extfile', `${file}.ext`, '-out', `${file}.pem`);
    const [key, cert] = [`${file}.key`, `${file}.pem`].map((name) => readFileSync(join(this.#directory, name), 'utf8'));
    return { key: key ?? '', cert: cert ?? '' };
  }

  #newKey(file: string): string[] {
    return [...CURVE, '-keyout', `${file}.key`];
  }

  #openssl(...args: readonly string[]): void {
    execFileSync('openssl', args, { stdio: 'pipe', cwd: this.#directory });
  }
}
