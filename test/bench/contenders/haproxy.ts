/** haproxy at both ends in TCP mode: one TLS 1.3 connection for each stream, each end known by its certificate. */
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

const CONFIG = '/run/bench-haproxy.conf';
const TLS = `ssl crt ${CERTIFICATE_AND_KEY} ca-file ${CERTIFICATE} verify required ssl-min-ver TLSv1.3 ciphersuites TLS_AES_256_GCM_SHA384`;

interface Service {
  readonly bind: string;
  readonly server: string;
}

function start(machine: LabHost, services: readonly Service[]): Inside {
  const common = ['defaults', '  mode tcp', '  timeout connect 10s', '  timeout client 1h', '  timeout server 1h'];
  const listeners = services.map(({ bind, server }, i) => `listen s${i}\n  bind ${bind}\n  server far ${server}`);
  writeFileSync(machine.path(CONFIG), `${[...common, ...listeners].join('\n')}\n`);
  return startInside(machine, ['haproxy', '-db', '-q', '-f', CONFIG]);
}

export const haproxy: Contender = {
  name: 'haproxy',
  what: 'haproxy at both ends, TLS 1.3 with AES-256-GCM, CUBIC',
  between: true,
  async open(lab) {
    const { a, b } = lab.sites;
    await placeCertificate(lab);
    const near = a.gatewayHost.dataAddress;
    const far = b.gatewayHost.dataAddress;
    const sink = b.host.dataAddress;
    const programs = [
      start(b.gatewayHost, [
        { bind: `${far}:${TUNNEL_PORT} ${TLS}`, server: `${sink}:${SINK_PORT}` },
        { bind: `${far}:${ASK_TUNNEL_PORT} ${TLS}`, server: `${sink}:${ANSWER_PORT}` },
      ]),
      start(a.gatewayHost, [
        { bind: `${near}:${ENTRY_PORT}`, server: `${far}:${TUNNEL_PORT} ${TLS}` },
        { bind: `${near}:${ASK_ENTRY_PORT}`, server: `${far}:${ASK_TUNNEL_PORT} ${TLS}` },
      ]),
    ];
    return wayThrough(lab, programs, [ENTRY_PORT, ASK_ENTRY_PORT]);
  },
};
