/** The guests that are recorded, and what they do meanwhile. */
import { build } from '../../../lab/src/build.ts';
import type { GuestOptions } from '../recording/record.ts';
import { makeLinuxGuest } from './linux.ts';

export interface Load {
  readonly name: string;
  readonly what: string;
  /** @param directory for files that the guest needs */
  guest(directory: string, signal: AbortSignal): Promise<GuestOptions>;
}

export const LOADS: readonly Load[] = [
  {
    name: 'rewritten',
    what: "the lab's guest: 256 MiB without any order, 4000 pages a second written anew as a whole",
    async guest() {
      const commandLine = 'fill=256 wss=64 dirty=4000';
      return { memoryMib: 320, kernel: await build('guest.elf'), commandLine, atWork: /^ready\s*$/m };
    },
  },
  linux('redis', 'Linux, redis-server with 60,000 sessions: counters, times, tokens, some whole values'),
  linux('sqlite', 'Linux, sqlite3 with 300,000 accounts: transfers as in TPC-B, through its log'),
  linux('idle', 'Linux, the same redis-server, and nobody who asks'),
];

function linux(name: string, what: string): Load {
  return {
    name,
    what,
    async guest(directory, signal) {
      const commandLine = `console=ttyS0 quiet panic=-1 rdinit=/init.sh load=${name}`;
      const atWork = new RegExp(`^AT WORK ${name}\\s*$`, 'm');
      return { memoryMib: 512, ...(await makeLinuxGuest(directory, signal)), commandLine, atWork };
    },
  };
}
