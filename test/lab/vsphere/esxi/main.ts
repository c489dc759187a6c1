/**
 * An ESXi stand-in as a process, for a machine of the lab: `node main.ts DIRECTORY`. The directory has `host.json` (the specification) and the
 * control socket. Runs in the machine's network namespace, and lives on when vCenter dies.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serveCommands } from '../control.ts';
import type { HostSpec } from '../inventory/spec.ts';
import type { FlowKind, HostAgent } from './agent.ts';
import { EsxiHost, type GuestChange } from './host.ts';
import { applyStack } from './kernel-routes.ts';

export interface HostTruth {
  /** Instance UUIDs. */
  readonly running: readonly string[];
  readonly changes: readonly GuestChange[];
  readonly received: Readonly<Record<FlowKind, number>>;
  readonly connections: Readonly<Record<FlowKind, number>>;
}

const directory = process.argv[2] ?? '.';
const spec = JSON.parse(readFileSync(join(directory, 'host.json'), 'utf8')) as HostSpec;
const host = new EsxiHost(spec, { applyStack: (stack, before) => applyStack(spec, stack, before) });

const agent: { readonly [Name in keyof HostAgent]: HostAgent[Name] } = {
  state: () => host.state(),
  expect: (move, guest) => host.expect(move, guest),
  forget: (move) => host.forget(move),
  begin: (order) => host.begin(order),
  status: (move) => host.status(move),
  cancel: (move) => host.cancel(move),
  resume: (move) => host.resume(move),
  settle: (move, arrived) => host.settle(move, arrived),
  setStack: (stack) => host.setStack(stack),
  update: (vm) => host.update(vm),
};

await host.start();
serveCommands(join(directory, 'control.sock'), {
  ...agent,
  truth: (): HostTruth => ({
    ...{ running: host.running(), changes: host.changes, received: host.received, connections: host.connections },
  }),
  cut: () => host.cutConnections(),
});
