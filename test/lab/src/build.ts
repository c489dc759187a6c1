// Compiles C programs with gcc, the lab's own and the benchmark's. Results are kept in a cache named by the hash of sources and flags, outside the tree; a build
// is made under another name and moved into place, so that two labs may compile at once.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './command.ts';
import { LabError } from './errors.ts';

export interface Program {
  directory: string;
  /** Libraries as well: they stand behind the sources. */
  flags: string[];
  /** File endings that are given to the compiler; everything in the directory counts for the hash. */
  compiled: RegExp;
}

const source = (name: string) => join(import.meta.dirname, '..', name);
const HOSTED = ['-O2', '-Wall', '-Wextra', '-Werror=implicit'];

const PROGRAMS = {
  'lab-wan': { directory: source('wan'), flags: HOSTED, compiled: /^(?!.*-test\.c$).*\.c$/ },
  'lab-wan-test': {
    directory: source('wan'),
    flags: [...HOSTED, '-g', '-fsanitize=address,undefined'],
    compiled: /^(cut|line|line-test)\.c$/,
  },
  'lab-probe': { directory: source('probe'), flags: HOSTED, compiled: /\.c$/ },
  'lab-witness': { directory: source('witness'), flags: HOSTED, compiled: /\.c$/ },
  'guest.elf': {
    directory: source('guest'),
    flags: [
      ...[
        '-m32',
        '-march=i686',
        '-O2',
        '-ffreestanding',
        '-fno-pie',
        '-no-pie',
        '-fno-stack-protector',
        '-fno-asynchronous-unwind-tables',
      ],
      ...[
        '-mgeneral-regs-only',
        '-Wall',
        '-Wextra',
        '-nostdlib',
        '-static',
        '-Wl,-m,elf_i386',
        '-Wl,--build-id=none',
        '-Wl,--no-warn-rwx-segments',
      ],
      ...['-T', join(source('guest'), 'link.ld')],
    ],
    compiled: /\.(c|S)$/,
  },
} satisfies Record<string, Program>;

export type ProgramName = keyof typeof PROGRAMS;

/** Where what is made once is kept: compiled programs, packages that were downloaded. */
export const cacheDir = () => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'lmas-lab');

/** Path of a compiled program of the lab. */
export const build = (name: ProgramName): Promise<string> => compile(name, PROGRAMS[name]);

/** Path of the compiled program; compiles it if this very source has not been compiled before. @throws LabError LAB_BUILD_FAILED */
export async function compile(name: string, program: Program): Promise<string> {
  const files = readdirSync(program.directory).sort();
  const hash = createHash('sha256').update(JSON.stringify([program.flags, process.arch]));
  for (const file of files) hash.update(file).update(readFileSync(join(program.directory, file)));
  const path = join(cacheDir(), `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDir(), { recursive: true, mode: 0o700 });
  const sources = files.filter((file) => program.compiled.test(file)).map((file) => join(program.directory, file));
  const temporary = `${path}.${process.pid}`;
  try {
    await run('gcc', ['-o', temporary, ...sources, ...program.flags]);
  } catch (cause) {
    throw new LabError('LAB_BUILD_FAILED', `${name}: ${(cause as Error).message}`, { cause });
  }
  renameSync(temporary, path);
  return path;
}
