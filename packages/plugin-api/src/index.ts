/**
 * The contract between the orchestrator and hypervisor plugins, and nothing else.
 *
 * A plugin is a plain value, the default export of a package that the orchestrator's configuration names. It knows one
 * hypervisor; the orchestrator knows none. The compliance suite under test/compliance is the definition of every
 * promise made here.
 */
export * from './drill.ts';
export * from './errors.ts';
export * from './findings.ts';
export * from './load.ts';
export * from './migration.ts';
export * from './placement.ts';
export * from './places.ts';
export * from './plugin.ts';
export * from './relocation.ts';
export * from './verification.ts';
