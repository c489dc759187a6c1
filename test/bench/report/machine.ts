/** The machine that measured, in general terms: nothing of it says whose it is. */
import { cpus, release } from 'node:os';

export const describeMachine = () => ({ processors: cpus().length, kernel: release(), node: process.version });
