/**
 * The libraries of GCC that Node links and a minimal system may lack (libatomic as a rule). They are shipped as they are on this
 * machine, each in a directory of its own, so that the launcher adds those that a machine lacks and no others: what it has of
 * its own was made for its own C library.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface RuntimeLibrary {
  /** As the dynamic linker asks for it: `libatomic.so.1`. */
  readonly name: string;
  readonly content: Buffer;
}

const OF_GCC = /^(libatomic|libgcc_s|libstdc\+\+)\.so\.\d+$/;

/** Goes with them wherever they go. */
export const RUNTIME_NOTICE = `libatomic, libgcc_s and libstdc++ are parts of GCC, the GNU Compiler Collection (https://gcc.gnu.org), and unchanged: under
the GNU General Public License, version 3 or later, with the GCC Runtime Library Exception, version 3.1, which lets any
program be linked with them. They are used only where a machine lacks them.
`;

/** @param program the Node to be shipped @throws Error when it could not run here either */
export function runtimeLibraries(program: string): RuntimeLibrary[] {
  // ld.so(8): with this variable it prints what it would load, one `NAME => FILE (ADDRESS)` a line, and does not run anything.
  const output = execFileSync(program, [], { env: { LD_TRACE_LOADED_OBJECTS: '1' }, encoding: 'utf8' });
  return [...output.matchAll(/^\s*(\S+) => (\/\S+|not found)/gm)].flatMap(([, name = '', file = '']) => {
    if (!OF_GCC.test(name)) return [];
    if (!file.startsWith('/'))
      throw new Error(`Node links ${name}, which this machine lacks; Debian has it as libatomic1.`);
    return [{ name, content: readFileSync(file) }];
  });
}
