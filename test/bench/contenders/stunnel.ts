/** stunnel at both ends: one TLS 1.3 connection for each stream, each end known by its certificate. */
import { writeFileSync } from 'node:fs';
import type { LabHost } from '../../lab/src/index.ts';
import { CERTIFICATE, CERTIFICATE_AND_KEY, placeCertificate } from './certificates.ts';
import {
  ANSWER_PORT,
  ASK_ENTRY_PORT,
  ASK_TUNNEL_PORT,
  type Contender,
  ENTRY_PORT,
  SINK_PORT,
  TUNNEL_PORT,
  wayThrough,
} from './contender.ts';
import { type Inside, startInside } from './inside.ts';

const CONFIG = '/run/bench-stunnel.conf';

interface Service {
  readonly accept: string;
  readonly connect: string;
}

function start(machine: LabHost, client: boolean, services: readonly Service[]): Inside {
  const common = [
    'foreground = yes',
    'pid =',
    'syslog = no',
    'debug = warning',
    `cert = ${CERTIFICATE_AND_KEY}`,
    `CAfile = ${CERTIFICATE}`,
    'verifyPeer = yes',
    'sslVersionMin = TLSv1.3',
    'ciphersuites = TLS_AES_256_GCM_SHA384',
    `client = ${client ? 'yes' : 'no'}`,
  ];
  const sections = services.map(({ accept, connect }, i) => `[s${i}]\naccept = ${accept}\nconnect = ${connect}`);
  writeFileSync(machine.path(CONFIG), `${[...common, ...sections].join('\n')}\n`);
  return startInside(machine, ['stunnel4', CONFIG]);
}

export const stunnel: Contender = {
  name: 'stunnel',
  what: 'stunnel at both ends, TLS 1.3 with AES-256-GCM, CUBIC',
  between: true,
  async open(lab) {
    const { a, b } = lab.sites;
    await placeCertificate(lab);
    const near = a.gatewayHost.dataAddress;
    const far = b.gatewayHost.dataAddress;
    const sink = b.host.dataAddress;
    const programs = [
      start(b.gatewayHost, false, [
        { accept: `${far}:${TUNNEL_PORT}`, connect: `${sink}:${SINK_PORT}` },
        { accept: `${far}:${ASK_TUNNEL_PORT}`, connect: `${sink}:${ANSWER_PORT}` },
      ]),
      start(a.gatewayHost, true, [
        { accept: `${near}:${ENTRY_PORT}`, connect: `${far}:${TUNNEL_PORT}` },
        { accept: `${near}:${ASK_ENTRY_PORT}`, connect: `${far}:${ASK_TUNNEL_PORT}` },
      ]),
    ];
    return wayThrough(lab, programs, [ENTRY_PORT, ASK_ENTRY_PORT]);
  },
};
