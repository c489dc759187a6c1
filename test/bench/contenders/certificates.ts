/** A self-signed certificate for the contenders that speak TLS, made once a run by openssl and put on both gateway machines. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import type { Lab } from '../../lab/src/index.ts';

const DIRECTORY = '/run';
/** Paths inside the machines: the certificate, and certificate and key together. */
export const CERTIFICATE = `${DIRECTORY}/bench-certificate.pem`;
export const CERTIFICATE_AND_KEY = `${DIRECTORY}/bench-both.pem`;

const KEY = `${DIRECTORY}/bench-key.pem`;
const MAKE = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];

export async function placeCertificate(lab: Lab): Promise<void> {
  const { a, b } = lab.sites;
  const maker = a.gatewayHost;
  await maker.exec(['openssl', ...MAKE, '-subj', '/CN=bench', '-keyout', KEY, '-out', CERTIFICATE]);
  const certificate = readFileSync(maker.path(CERTIFICATE));
  const both = Buffer.concat([certificate, readFileSync(maker.path(KEY))]);
  for (const { gatewayHost } of [a, b]) {
    writeFileSync(gatewayHost.path(CERTIFICATE), certificate);
    writeFileSync(gatewayHost.path(CERTIFICATE_AND_KEY), both, { mode: 0o600 });
    chmodSync(gatewayHost.path(CERTIFICATE_AND_KEY), 0o600);
  }
}
