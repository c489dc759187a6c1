/**
 * Who competes. A contender makes a way from the source host to the destination host, as its users would, and takes it
 * down again. What runs for it runs on the two gateway machines, so that its cost can be told from that of the load.
 */
import type { Lab } from '../../lab/src/index.ts';
import { type Inside, listens } from './inside.ts';

/** Where the load at the destination host listens: bulk, and questions that want an answer. */
export const SINK_PORT = 7_001;
export const ANSWER_PORT = 7_002;
/** Where a contender takes the load in on the gateway machine of site A. */
export const ENTRY_PORT = 7_101;
export const ASK_ENTRY_PORT = 7_102;
export const BULK_ASK_ENTRY_PORT = 7_103;
/** What a contender listens on at the gateway machine of site B. */
export const TUNNEL_PORT = 7_400;
export const ASK_TUNNEL_PORT = 7_401;

const READY_WITHIN_MS = 20_000;

export interface Entry {
  readonly host: string;
  readonly port: number;
}

export interface Contender {
  readonly name: string;
  readonly what: string;
  /** Whether anything runs between the hosts, whose cost can be told. */
  readonly between: boolean;
  /** Congestion control of the sending host's socket; the distribution's default unless told. */
  readonly sourceCongestionControl?: 'bbr';
  /** Makes the way. The sink may not listen yet. */
  open(lab: Lab): Promise<Way>;
}

export interface Way extends AsyncDisposable {
  /** Where the source has to connect for bulk. */
  readonly entry: Entry;
  /** Where it has to connect for small questions; null where the contender has one stream only. */
  readonly askEntry: Entry | null;
  /** The same on a route for bulk, where the contender has routes of both kinds. */
  readonly bulkAskEntry?: Entry;
}

/** The way through programs on the gateway machines, once the one at site A listens. Ends them when it is disposed of. */
export async function wayThrough(lab: Lab, programs: readonly Inside[], ports: readonly number[]): Promise<Way> {
  const machine = lab.sites.a.gatewayHost;
  const [bulk = ENTRY_PORT, ask] = ports;
  const way: Way = {
    entry: { host: machine.dataAddress, port: bulk },
    askEntry: ask === undefined ? null : { host: machine.dataAddress, port: ask },
    async [Symbol.asyncDispose]() {
      await Promise.all(programs.map((program) => program.end()));
    },
  };
  if (await listens(machine, ports, READY_WITHIN_MS)) return way;
  await way[Symbol.asyncDispose]();
  const complaints = programs.map((program) => `${program.machine.name}: ${program.complaint()}`);
  throw new Error(
    [`Nothing listens on ${ports} of ${machine.name} after ${READY_WITHIN_MS} ms.`, ...complaints].join('\n'),
  );
}
