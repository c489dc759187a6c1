// Our link emulator (../wan/): started in the namespace `wan`, spoken to over its Unix socket, one request a connection.

import { connect } from 'node:net';
import { build } from './build.ts';
import { startDetached } from './command.ts';
import { LabError } from './errors.ts';
import { type Direction, type Link, type LinkOptions, type LinkStats, queueMsOf } from './link.ts';
import { type ProcessRecord, recordOf, waitUntil } from './processes.ts';

/** @param ends the interfaces of this namespace that the line is between */
export async function startEmulator(
  netns: string,
  ends: readonly [string, string],
  socketPath: string,
  logFile: string,
): Promise<ProcessRecord> {
  const program = await build('lab-wan');
  const pid = await startDetached('ip', ['netns', 'exec', netns, program, ...ends, socketPath], logFile);
  const record = recordOf(pid);
  const link = emulatorLink(socketPath);
  const answers = () =>
    link.stats().then(
      () => true,
      () => false,
    );
  if (!record || !(await waitUntil(answers, 5_000)))
    throw new LabError('LAB_TIMEOUT', `the link emulator does not answer; see ${logFile}`);
  return record;
}

export function emulatorLink(socketPath: string): Link {
  return {
    kind: 'emulator',
    async set(options) {
      await request(socketPath, `set ${settingsOf(options)}`);
    },
    async stats() {
      return { kind: 'emulator', ...((await request(socketPath, 'stats')) as Pick<LinkStats, 'cpuUs' | 'ab' | 'ba'>) };
    },
    async outage(direction: Direction, how) {
      await request(socketPath, `outage ${direction} ${typeof how === 'number' ? Math.round(how * 1e6) : how}`);
    },
  };
}

export function settingsOf(options: LinkOptions): string {
  return Object.entries({
    rate: options.rateMbit * 1e6,
    delay: (options.rttMs / 2) * 1e6,
    queue: queueMsOf(options) * 1e6,
    jitter: (options.jitterMs ?? 0) * 1e6,
    loss: (options.lossPct / 100) * 2 ** 32,
  })
    .map(([name, value]) => `${name}=${Math.round(value)}`)
    .join(' ');
}

function request(socketPath: string, line: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    let answer = '';
    socket.setTimeout(5_000, () => socket.destroy(new LabError('LAB_TIMEOUT', `link emulator: ${line}`)));
    socket.on('connect', () => socket.write(`${line}\n`));
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.on('error', reject);
    socket.on('end', () => {
      try {
        const parsed = JSON.parse(answer) as { error?: string };
        if (parsed.error) reject(new LabError('LAB_LINK_REFUSED', `${line}: ${parsed.error}`));
        else resolve(parsed);
      } catch (cause) {
        reject(new LabError('LAB_LINK_REFUSED', `${line}: unreadable answer ${JSON.stringify(answer)}`, { cause }));
      }
    });
  });
}
