/**
 * Offers a world on a Unix socket: one JSON object a line, calls and their answers and, in between, progress. A broken
 * connection is what it is to a hypervisor: the controller is gone, and a direct migration of its with it.
 */
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { WorldError } from './faults.ts';
import type { HostName, World } from './world.ts';

const callSchema = z.object({
  id: z.number(),
  host: z.string(),
  verb: z.string(),
  args: z.record(z.string(), z.any()),
});
type Call = z.infer<typeof callSchema>;

export interface WorldServer extends AsyncDisposable {
  readonly socketPath: string;
  /** Breaks every connection, as if the hosts had gone; new ones are refused until `comeBack`. Or those of one host only. */
  goAway(host?: HostName): void;
  /** How many calls of this name (`source.login`) have come so far. */
  calls(name: string): number;
  comeBack(): void;
}

export async function serveWorld(world: World, socketPath: string): Promise<WorldServer> {
  const sockets = new Set<Socket>();
  let away = false;
  const silent = new Set<string>();
  const counts = new Map<string, number>();
  const server: Server = createServer((socket) => {
    if (away) return socket.destroy();
    sockets.add(socket);
    const gone = new AbortController();
    socket.on('close', () => {
      sockets.delete(socket);
      gone.abort(new WorldError('CONNECTION_LOST', 'The controller is gone.'));
    });
    socket.on('error', () => socket.destroy());
    const lines = createInterface({ input: socket });
    lines.on('line', (line) => {
      const call = callSchema.parse(JSON.parse(line));
      if (silent.has(call.host)) return socket.destroy();
      const name = `${call.host}.${call.verb}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return void answer(world, socket, call, gone.signal);
    });
    lines.on('error', () => socket.destroy()); // readline hands on what the socket met
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  return {
    socketPath,
    calls: (name) => counts.get(name) ?? 0,
    goAway(host) {
      if (host !== undefined) return void silent.add(host);
      away = true;
      for (const socket of sockets) socket.destroy();
    },
    comeBack() {
      away = false;
      silent.clear();
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      await rm(socketPath, { force: true });
    },
  };
}

async function answer(world: World, socket: Socket, call: Call, gone: AbortSignal): Promise<void> {
  const send = (message: object) => {
    if (!socket.destroyed) socket.write(`${JSON.stringify({ id: call.id, ...message })}\n`);
  };
  try {
    const name = `${call.host}.${call.verb}`;
    const effect = () => carryOut(world, call, gone, (percent) => send({ progress: percent }));
    const result = await world.faults.around(name, () => socket.destroy(), effect);
    send({ result: result ?? null });
  } catch (error) {
    const code = error instanceof WorldError ? error.code : 'HYPERVISOR_FAULT';
    send({ error: { code, message: error instanceof Error ? error.message : String(error) } });
  }
}

async function carryOut(world: World, call: Call, gone: AbortSignal, onProgress: (percent: number) => void) {
  const { verb, args } = call;
  const host = call.host as HostName;
  switch (verb) {
    case 'login':
      return null;
    case 'inventory':
      return { vms: [...world.hosts[host].values()] };
    case 'find': {
      const all = [...world.hosts[host].values()];
      const vm = all.find(({ id, name }) => id === args.idOrName || name === args.idOrName);
      if (vm === undefined) throw new WorldError('VM_NOT_FOUND', `There is no VM ${args.idOrName}.`);
      return vm;
    }
    case 'presence':
      return world.presence(host, args.vmId);
    case 'prepare':
      return world.prepare(args.vm, args.migrationId, args.volume);
    case 'perform':
      return await world.perform(args.vmId, args.migrationId, {
        durationMs: args.durationMs,
        peerToPeer: args.peerToPeer,
        onProgress,
        controller: gone,
      });
    case 'abort-job':
      return world.abortJob(args.vmId);
    case 'finish':
      return world.finish(args.vmId, args.cancelled);
    case 'confirm':
      return world.confirm(args.vmId, args.cancelled);
    case 'delete-volume':
      return world.deleteVolume(args.volume ?? '', args.migrationId);
    default:
      return gatewayCall(world, verb, args);
  }
}

/** Gateways as the simulated provisioner sees them; the "host" of these calls is `gateway`. */
function gatewayCall(world: World, verb: string, args: Call['args']): unknown {
  const { name, token } = args;
  const gateway = world.gateways.get(name);
  if (gateway !== undefined && Number.isFinite(token)) {
    if (token < gateway.token) throw new WorldError('STALE_TOKEN', 'A newer run has this gateway.');
    gateway.token = token;
  }
  switch (verb) {
    case 'start':
      world.gateways.set(name, { token, configured: false, routes: new Set() });
      return null;
    case 'attach':
      return gateway !== undefined;
    case 'remove':
      world.endGateway(name);
      return null;
    case 'ended':
      return world.until(() => !world.gateways.has(name)).then(() => null);
    case 'list':
      return [...world.gateways.keys()].filter((key) => key.startsWith(`${args.site}/`));
  }
  if (gateway === undefined) throw new WorldError('GATEWAY_ENDED', `There is no gateway ${name}.`);
  switch (verb) {
    case 'configure':
      gateway.configured = true;
      return null;
    case 'route':
      gateway.routes.add(args.route);
      return null;
    case 'status':
      return { configured: gateway.configured };
    case 'lease':
      return null;
    default:
      throw new WorldError('HYPERVISOR_FAULT', `Unknown verb ${verb}.`);
  }
}
