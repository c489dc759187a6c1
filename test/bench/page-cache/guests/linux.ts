/**
 * A Linux guest out of Debian's packages: its kernel, and a file system in memory with busybox, redis-server and sqlite3 and the libraries that
 * they link. What it does is a script (init.sh) that is told on the kernel's command line.
 */
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../lab/src/command.ts';
import { type ArchiveFile, cpioArchive } from './cpio.ts';
import { debianBusybox, debianKernel } from './debian-files.ts';

const PROGRAMS = ['/usr/bin/redis-server', '/usr/bin/redis-cli', '/usr/bin/sqlite3'] as const;
const SCRIPTS = ['init.sh', 'fill.lua', 'work.lua', 'fill.sql', 'work.sql'] as const;
const MOUNT_POINTS = ['proc', 'sys', 'dev', 'data', 'tmp'] as const;

export interface LinuxGuest {
  readonly kernel: string;
  readonly initrd: string;
}

/** Writes the guest's file system into `directory`. */
export async function makeLinuxGuest(directory: string, signal: AbortSignal): Promise<LinuxGuest> {
  const kernel = await debianKernel(signal);
  const busybox = await debianBusybox(signal);
  const files: ArchiveFile[] = [
    { path: 'bin/busybox', content: readFileSync(busybox), mode: 0o755 },
    ...SCRIPTS.map((name) => ({
      path: name,
      content: readFileSync(join(import.meta.dirname, 'inside', name)),
      mode: 0o755,
    })),
  ];
  const libraries = new Set<string>();
  for (const program of PROGRAMS) {
    if (!existsSync(program)) throw new Error(`${program} is not installed. Run: npm run bench -- page-cache --yes`);
    files.push({ path: program.slice(1), content: readFileSync(realpathSync(program)), mode: 0o755 });
    for (const library of await librariesOf(program, signal)) libraries.add(library);
  }
  for (const library of libraries)
    files.push({ path: library.slice(1), content: readFileSync(realpathSync(library)), mode: 0o755 });
  const initrd = join(directory, 'initrd');
  writeFileSync(initrd, cpioArchive(files, MOUNT_POINTS));
  return { kernel, initrd };
}

/** ldd(1): `name => /path (address)`, and the loader itself by its path alone. */
async function librariesOf(program: string, signal: AbortSignal): Promise<string[]> {
  const { stdout } = await run('ldd', [program], { signal });
  return [...stdout.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map(([, path = '']) => path);
}
