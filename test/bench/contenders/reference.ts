/** The small C program that does what has to be done and nothing else (reference/relay.c): the measure for processor time. */
import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from '../../lab/src/build.ts';
import type { LabHost } from '../../lab/src/index.ts';
import { type Contender, ENTRY_PORT, SINK_PORT, TUNNEL_PORT, wayThrough } from './contender.ts';
import { type Inside, listens, startInside } from './inside.ts';

const PROGRAM = '/run/bench-relay';
const KEY = '/run/bench-relay.key';
const READY_WITHIN_MS = 5_000;

const build = (): Promise<string> =>
  compile('bench-reference', {
    directory: join(import.meta.dirname, 'reference'),
    flags: ['-O2', '-Wall', '-Wextra', '-lcrypto'],
    compiled: /\.c$/,
  });

function start(machine: LabHost, role: 'seal' | 'open', port: number, host: string, hostPort: number): Inside {
  return startInside(machine, [PROGRAM, role, KEY, String(port), host, String(hostPort)]);
}

export const reference: Contender = {
  name: 'reference',
  what: 'a small C pair: 1 MiB reads, AES-256-GCM through OpenSSL, writes; one stream, BBR',
  between: true,
  async open(lab) {
    const { a, b } = lab.sites;
    const program = await build();
    const key = randomBytes(32);
    for (const { gatewayHost } of [a, b]) {
      copyFileSync(program, gatewayHost.path(PROGRAM));
      chmodSync(gatewayHost.path(PROGRAM), 0o755);
      writeFileSync(gatewayHost.path(KEY), key, { mode: 0o600 });
    }
    const far = start(b.gatewayHost, 'open', TUNNEL_PORT, b.host.dataAddress, SINK_PORT);
    await listens(b.gatewayHost, [TUNNEL_PORT], READY_WITHIN_MS);
    const near = start(a.gatewayHost, 'seal', ENTRY_PORT, b.gatewayHost.dataAddress, TUNNEL_PORT);
    return wayThrough(lab, [far, near], [ENTRY_PORT]);
  },
};
