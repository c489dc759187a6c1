/**
 * A vCenter as a process, for a machine of the lab: `node main.ts DIRECTORY`. The directory has `vcenter.json`, the certificate, and the control
 * socket with the commands below; its hosts are processes of their own, so it can be killed while VMs move.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { serveCommands } from './control.ts';
import { type CheckScript, type Dialect, type MoveRecord, type RelocationScript, VsphereEndpoint } from './endpoint.ts';
import { remoteHost } from './esxi/remote-host.ts';
import type { FaultRule } from './faults.ts';
import type { VcenterSpec } from './inventory/spec.ts';
import { Schema } from './schema/schema.ts';
import { certificateFor } from './wire/certificate.ts';
import { serve } from './wire/server.ts';

export interface VcenterFile {
  readonly spec: VcenterSpec;
  readonly address: string;
  /** Control sockets of the hosts, by name. */
  readonly hosts: Readonly<Record<string, string>>;
}

export interface VcenterTruth {
  readonly calls: readonly string[];
  readonly violations: readonly string[];
  readonly moves: readonly MoveRecord[];
  readonly sessions: number;
}

export interface VcenterScript {
  readonly relocation?: Partial<RelocationScript>;
  readonly checks?: CheckScript;
  readonly lateSuccess?: boolean;
  readonly dialect?: Partial<Dialect>;
  /** Replace those that there are. */
  readonly faults?: readonly FaultRule[];
}

const PORT = 443;
const directory = process.argv[2] ?? '.';
const file = JSON.parse(readFileSync(join(directory, 'vcenter.json'), 'utf8')) as VcenterFile;
const agents = new Map(Object.entries(file.hosts).map(([name, socket]) => [name, remoteHost(socket)]));
const endpoint = await VsphereEndpoint.make(file.spec, Schema.read(), agents);
/** When something comes to a gate that is held. */
const reached = new Map<string, Promise<void>>();

function script({ relocation, checks, lateSuccess, dialect, faults }: VcenterScript): void {
  Object.assign(endpoint.relocation, relocation);
  Object.assign(endpoint.dialect, dialect);
  if (checks !== undefined) endpoint.checks = checks;
  if (lateSuccess !== undefined) endpoint.tasks.lateSuccess = lateSuccess;
  if (faults !== undefined) endpoint.faults.set(faults);
}

await serve(endpoint, { host: file.address, port: PORT, certificate: certificateFor(directory, file.address) });
serveCommands(join(directory, 'control.sock'), {
  truth: (): VcenterTruth => ({
    ...{ calls: endpoint.calls, violations: endpoint.violations, moves: endpoint.moves },
    sessions: endpoint.sessions.size,
  }),
  lastParameters: (method: string) => endpoint.lastParameters(method),
  script,
  hold: (gate: string) => void reached.set(gate, endpoint.gates.hold(gate)),
  reached: (gate: string) => reached.get(gate),
  release: (gate: string) => endpoint.gates.release(gate),
  endSessions: () => endpoint.sessions.endAll(),
});
