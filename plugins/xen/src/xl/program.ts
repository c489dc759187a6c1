/**
 * What we run at a Dom0: a Python program (dom0/), because every Dom0 has Python (Xen's own tools need it) and nothing else
 * that can join a TCP connection to a program's two pipes is sure to be there. It arrives on standard input together with
 * one job and is not installed: only what the relay needs, which xl starts, is kept in files, as long as its migration takes.
 * What it leaves at a host is listed in dom0/notes.py, how it begins in dom0/boot.py.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const read = (name: string): string => readFileSync(join(import.meta.dirname, 'dom0', `${name}.py`), 'utf8');

/** Each after those it needs. */
const MODULES = ['notes', 'stream', 'host', 'verbs'];

/** Reads the program and the job from its input: neither the shell nor `ps` sees anything of them. */
export const BOOT = read('boot');

export const PROGRAM = { boot: BOOT, modules: MODULES.map((name) => [name, read(name)] as const) };
