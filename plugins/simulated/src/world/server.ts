/**
 * Offers a world to plugins: one JSON object a line, calls and their answers and, in between, progress. A broken
 * connection is what it is to a hypervisor: the controller is gone, and a direct migration of its with it.
 */
import { rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { carryOutDrill } from './drill-calls.ts';
import { WorldError } from './errors.ts';
import { carryOutImage } from './images.ts';
import { carryOutRelocation } from './relocation-calls.ts';
import { Runs } from './runs.ts';
import type { World } from './world.ts';

const id = z.string();
const guest = z.object({
  id,
  name: z.string(),
  memoryBytes: z.number(),
  vcpus: z.number(),
  dirtyRateBytesPerSec: z.number(),
  labels: z.array(z.string()).default([]),
  cpuCores: z.number(),
  networkBytesPerSec: z.number(),
});
const moveArgs = z.object({
  vmId: id,
  destination: z.string(),
  durationMs: z.number().nullable(),
  maxDowntimeMs: z.number(),
  autoConverge: z.boolean(),
  bandwidthBytesPerSec: z.number().nullable(),
  peerToPeer: z.boolean(),
});

const steerArgs = moveArgs.pick({ maxDowntimeMs: true, autoConverge: true });

const callSchema = z.object({
  id: z.number(),
  host: z.string(),
  verb: z.string(),
  args: z.record(z.string(), z.unknown()),
});
export type Call = z.infer<typeof callSchema>;

/** More verbs than a hypervisor has, for whoever puts more into a world than hosts. Answers `undefined` for none of its. */
export type MoreVerbs = (call: Call) => unknown;

/** Who may speak to the world now. */
export class Doors {
  readonly runs = new Runs();
  readonly #open = new Set<Duplex>();
  readonly #silent = new Set<string>();
  readonly #calls = new Map<string, number>();
  #isClosed = false;

  enter(stream: Duplex): boolean {
    if (this.#isClosed) return false;
    this.#open.add(stream);
    stream.once('close', () => this.#open.delete(stream));
    return true;
  }

  /** Whether the host is there to hear this call. */
  hears({ host, verb }: Call): boolean {
    if (this.#silent.has(host)) return false;
    const name = `${host}.${verb}`;
    this.#calls.set(name, this.calls(name) + 1);
    return true;
  }

  calls(name: string): number {
    return this.#calls.get(name) ?? 0;
  }

  breakAll(): void {
    for (const stream of this.#open) stream.destroy();
  }

  close(): void {
    this.#isClosed = true;
    this.breakAll();
  }

  silence(host: string): void {
    this.#silent.add(host);
  }

  reopen(): void {
    this.#isClosed = false;
    this.#silent.clear();
  }
}

/** Serves one connection until it breaks. */
export function attend(world: World, stream: Duplex, doors: Doors, moreVerbs: MoreVerbs = () => undefined): void {
  if (!doors.enter(stream)) return void stream.destroy();
  const gone = new AbortController();
  stream.on('close', () => gone.abort(new WorldError('CONNECTION_LOST', 'The controller is gone.')));
  stream.on('error', () => stream.destroy());
  const lines = createInterface({ input: stream });
  lines.on('line', (line) => {
    const call = callSchema.parse(JSON.parse(line));
    if (doors.hears(call)) void answer(world, stream, call, { gone: gone.signal, runs: doors.runs, moreVerbs });
    else stream.destroy();
  });
  lines.on('error', () => stream.destroy()); // readline hands on what the stream met
}

export interface WorldServer extends AsyncDisposable {
  readonly socketPath: string;
  /** Breaks every connection and takes new ones at once: what SIGKILL of an orchestrator does. */
  breakConnections(): void;
  /**
   * Breaks every connection, as if the hosts had gone; new ones are refused until `comeBack`. Or one host only: then at
   * its next call.
   */
  goAway(host?: string): void;
  /** How many calls of this name (`kvm-a.login`) have come so far. */
  calls(name: string): number;
  readonly runs: Runs;
  comeBack(): void;
}

export async function serveWorld(world: World, socketPath: string, moreVerbs?: MoreVerbs): Promise<WorldServer> {
  const doors = new Doors();
  const server: Server = createServer((socket) => attend(world, socket, doors, moreVerbs));
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    socketPath,
    breakConnections: () => doors.breakAll(),
    goAway: (host) => (host === undefined ? doors.close() : doors.silence(host)),
    calls: (name) => doors.calls(name),
    runs: doors.runs,
    comeBack: () => doors.reopen(),
    async [Symbol.asyncDispose]() {
      doors.close();
      await new Promise((resolve) => server.close(resolve));
      await rm(socketPath, { force: true });
    },
  };
}

async function answer(
  world: World,
  stream: Duplex,
  call: Call,
  { gone, runs, moreVerbs }: { gone: AbortSignal; runs: Runs; moreVerbs: MoreVerbs },
): Promise<void> {
  const send = (message: object) => {
    if (!stream.destroyed) stream.write(`${JSON.stringify({ id: call.id, ...message })}\n`);
  };
  const name = `${call.host}.${call.verb}`;
  const effect = async () => {
    const delayMs = world.delaysMs.get(name);
    if (delayMs !== undefined) await sleep(delayMs, undefined, { ref: false });
    if (call.verb === 'login') runs.enter(stream, call.host, call.args);
    const more = moreVerbs(call);
    return more === undefined ? await carryOut(world, call, gone, (progress) => send({ progress })) : more;
  };
  try {
    const result = await world.faults.around(name, namesOfVm(world, call), () => stream.destroy(), effect);
    send({ result: result ?? null });
  } catch (error) {
    const code = error instanceof WorldError ? error.code : 'HYPERVISOR_FAULT';
    send({ error: { code, message: error instanceof Error ? error.message : String(error) } });
  }
}

/** What a fault may call the VM that a call is about. */
function namesOfVm(world: World, { host, args }: Call): string[] {
  const named = [args.vmId, args.idOrName, guest.safeParse(args.guest).data?.id].filter(
    (one) => typeof one === 'string',
  );
  const known = named.flatMap((one) => world.vm(host, one) ?? []);
  return [...named, ...known.map(({ name }) => name), guest.safeParse(args.guest).data?.name ?? []].flat();
}

async function carryOut(world: World, call: Call, gone: AbortSignal, onProgress: (state: object) => void) {
  const { verb, args, host } = call;
  const vmId = () => id.parse(args.vmId);
  const cancelled = () => z.boolean().parse(args.cancelled);
  const migrationId = () => id.parse(args.migrationId);
  switch (verb) {
    case 'login':
      return null;
    case 'inventory':
      return { vms: world.vms(host), ...world.shape(host) };
    case 'load':
      return { vms: world.vms(host).filter(({ presence }) => presence === 'running') };
    case 'find': {
      const wanted = z.string().parse(args.idOrName);
      const vm = world.vm(host, wanted) ?? world.vms(host).find(({ name }) => name === wanted);
      if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${wanted}.`);
      return vm;
    }
    case 'presence':
      return world.presence(host, vmId());
    case 'prepare':
      return world.prepare(host, guest.parse(args.guest), migrationId(), z.string().nullable().parse(args.volume), {
        ...(z.boolean().default(false).parse(args.peerToPeer) ? {} : { controller: gone }),
      });
    case 'perform':
      return await world.perform(host, vmId(), { ...moveArgs.parse(args), onProgress, controller: gone });
    case 'set-bandwidth':
      return world.setBandwidth(vmId(), z.number().nullable().parse(args.bandwidthBytesPerSec));
    case 'steer':
      return world.steer(vmId(), steerArgs.parse(args));
    case 'abort-job':
      return world.abortJob(vmId());
    case 'finish':
      return world.finish(host, vmId(), cancelled());
    case 'confirm':
      return world.confirm(host, vmId(), cancelled());
    case 'change-setting':
      return world.changeSetting(vmId(), true);
    case 'restore-setting':
      return world.changeSetting(vmId(), false);
    case 'delete-volume':
      return world.deleteVolume(id.parse(args.volume), migrationId());
  }
  const image = carryOutImage(world, call);
  if (image !== undefined) return image;
  const drilled = await carryOutDrill(world, call, gone, onProgress);
  const done = drilled === undefined ? await carryOutRelocation(world, call, gone, onProgress) : drilled;
  if (done === undefined) throw new WorldError('HYPERVISOR_FAULT', `Unknown verb ${verb}.`);
  return done;
}
