/**
 * Certificates with which QEMU's own TLS works between the hosts of a lab: a CA, and one certificate that serves as
 * server's and client's at both. QEMU looks for them by name in /etc/pki/qemu (qemu.conf, default_tls_x509_cert_dir).
 */
import { cpSync, mkdirSync } from 'node:fs';
import type { Lab } from '../../lab/src/index.ts';

/** What the certificate is made out to; `--tls-destination` says that it shall be. */
export const TLS_NAME = 'lab-host';

const DIRECTORY = '/etc/pki/qemu';
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const MAKE_CA = [
  'req',
  '-x509',
  ...KEY,
  ...['-days', '2', '-subj', '/CN=lab-ca'],
  ...['-addext', 'keyUsage=critical,keyCertSign'],
  ...['-keyout', 'ca-key.pem', '-out', 'ca-cert.pem'],
];
const REQUEST = ['req', ...KEY, '-subj', `/CN=${TLS_NAME}`, '-keyout', 'server-key.pem', '-out', 'request.pem'];
const SIGN = [
  'x509',
  '-req',
  ...['-in', 'request.pem', '-CA', 'ca-cert.pem', '-CAkey', 'ca-key.pem', '-set_serial', '2'],
  ...['-days', '2', '-extfile', 'extensions', '-out', 'server-cert.pem'],
];
const EXTENSIONS = [
  `subjectAltName=DNS:${TLS_NAME}`,
  'basicConstraints=critical,CA:false',
  'keyUsage=critical,digitalSignature,keyEncipherment',
  'extendedKeyUsage=serverAuth,clientAuth',
].join('\\n');

export async function placeQemuCertificates(lab: Lab): Promise<void> {
  const [maker, other] = [lab.sites.a.host, lab.sites.b.host];
  const steps = [
    `mkdir -p ${DIRECTORY} && cd ${DIRECTORY} && umask 077`,
    `printf '${EXTENSIONS}\\n' > extensions`,
    ...[MAKE_CA, REQUEST, SIGN].map((args) => `openssl ${args.join(' ')}`),
    'cp server-cert.pem client-cert.pem && cp server-key.pem client-key.pem && rm request.pem extensions ca-key.pem',
  ];
  await maker.exec(['/bin/bash', '-c', steps.join(' && ')]);
  mkdirSync(other.path('/etc/pki'), { recursive: true });
  cpSync(maker.path(DIRECTORY), other.path(DIRECTORY), { recursive: true });
}
