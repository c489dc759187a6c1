/** OpenSSH's port forwarding between the gateway machines, AES-256-GCM so that all encrypt alike, all else default. */
import { copyFileSync } from 'node:fs';
import { ANSWER_PORT, ASK_ENTRY_PORT, type Contender, ENTRY_PORT, SINK_PORT, wayThrough } from './contender.ts';
import { startInside } from './inside.ts';

const KEY = '/root/bench_key';
const OPTIONS = [
  'StrictHostKeyChecking=no',
  'UserKnownHostsFile=/dev/null',
  'LogLevel=ERROR',
  'ExitOnForwardFailure=yes',
  'Ciphers=aes256-gcm@openssh.com',
];

export const ssh: Contender = {
  name: 'ssh',
  what: 'ssh -L between the gateway machines, aes256-gcm, CUBIC',
  between: true,
  async open(lab) {
    const { a, b } = lab.sites;
    const machine = a.gatewayHost;
    copyFileSync(lab.clientKeyPath, machine.path(KEY));
    const forward = (near: number, far: number): string[] => [
      '-L',
      `${machine.dataAddress}:${near}:${b.host.dataAddress}:${far}`,
    ];
    const program = startInside(machine, [
      'ssh',
      ...OPTIONS.flatMap((option) => ['-o', option]),
      ...['-i', KEY, '-N', '-g'],
      ...forward(ENTRY_PORT, SINK_PORT),
      ...forward(ASK_ENTRY_PORT, ANSWER_PORT),
      `root@${b.gatewayHost.dataAddress}`,
    ]);
    return wayThrough(lab, [program], [ENTRY_PORT, ASK_ENTRY_PORT]);
  },
};
