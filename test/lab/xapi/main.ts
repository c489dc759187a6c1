/**
 * A pool as a process, for a host of the lab: `node main.ts DIRECTORY`. The directory has `pool.json` (the specification); the
 * members' certificates are kept there, and the control socket: GET /truth, POST /faults, POST /coordinator, POST /sessions/drop.
 * Runs in the host's network namespace and ends with it.
 */
import { readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { certificateOf } from './certificates.ts';
import type { PoolSpec } from './model.ts';
import { type PoolFaults, XapiPool } from './pool.ts';
import { received } from './receiver.ts';

/** One change of what runs here; the clock is the machine's, the same for every pool of the lab. */
export interface GuestChange {
  readonly atMs: number;
  readonly uuid: string;
  readonly running: boolean;
}

export interface Truth {
  readonly running: readonly string[];
  readonly changes: readonly GuestChange[];
  readonly received: { readonly disks: number; readonly memory: number };
  readonly calls: readonly string[];
  readonly callers: readonly string[];
  readonly redirects: number;
}

const directory = process.argv[2] ?? '.';
const pool = new XapiPool(JSON.parse(readFileSync(join(directory, 'pool.json'), 'utf8')) as PoolSpec);
const changes: GuestChange[] = [];
pool.onGuest = ({ uuid, running }) => changes.push({ atMs: performance.timeOrigin + performance.now(), uuid, running });

const COMMANDS: Readonly<Record<string, (body: string) => unknown>> = {
  'GET /truth': (): Truth => ({
    ...{ running: pool.running(), changes, received },
    ...{ calls: pool.calls, callers: [...pool.callers], redirects: pool.redirects },
  }),
  'POST /faults': (body) => Object.assign(pool.faults, JSON.parse(body) as PoolFaults),
  'POST /coordinator': (body) => pool.setCoordinator(Number(body)),
  'POST /sessions/drop': () => pool.sessions.endAll(),
};

const control = createServer(async (request, response) => {
  const command = COMMANDS[`${request.method} ${request.url}`];
  const answer = command === undefined ? null : (command(await text(request)) ?? null);
  response.writeHead(command === undefined ? 404 : 200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer));
});

await pool.start((member) => certificateOf(directory, member));
rmSync(join(directory, 'control.sock'), { force: true });
control.listen(join(directory, 'control.sock'));
