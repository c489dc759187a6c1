/** The world itself, for tests and benchmarks that serve one of their own. */
export { type DrilledCopy, Drills, ISOLATED_NETWORK } from './drills.ts';
export { WorldError } from './errors.ts';
export type { ArmedFault, FaultKind } from './faults.ts';
export { PreCopy } from './pre-copy.ts';
export { type Call, type MoreVerbs, serveWorld, type WorldServer } from './server.ts';
export { type Guest, World } from './world.ts';
