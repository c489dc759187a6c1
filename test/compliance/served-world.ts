/**
 * Two simulated hosts that are served on a socket, as another process would, for every plugin that speaks their language.
 */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EndpointSession, HypervisorPlugin } from '@lmas/plugin-api';
import { ISOLATED_NETWORK, serveWorld, World, type WorldServer } from '@lmas/plugin-simulated/world';
import type { DrillWorld } from './drill-suite.ts';
import type { RelocationWorld } from './relocation-suite.ts';
import type { ComplianceWorld } from './suite.ts';

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

interface Served {
  readonly world: World;
  readonly server: WorldServer;
  readonly vm: { readonly id: string; readonly name: string };
  connect(): Promise<{ source: EndpointSession; destination: EndpointSession }>;
}

async function serve<Config, Options>(plugin: HypervisorPlugin<Config, Options>): Promise<Served> {
  const world = new World();
  const vm = { id: randomUUID(), name: 'web' };
  world.rates.set('a', 20 * 2 ** 30);
  world.addHost('b');
  world.addVm('a', vm);
  const socketPath = join(tmpdir(), `lmas-simulated-${process.pid}-${vm.id.slice(0, 8)}.sock`);
  const server = await serveWorld(world, socketPath);
  const context = { log, credential: { kind: 'password', username: 'u', password: 'p' } } as const;
  const connect = (host: string) =>
    plugin.connect(plugin.configSchema.parse({ host, socketPath }), context, { signal: AbortSignal.timeout(10_000) });
  return { world, server, vm, connect: async () => ({ source: await connect('a'), destination: await connect('b') }) };
}

export async function servedWorld<Config, Options>(
  plugin: HypervisorPlugin<Config, Options>,
): Promise<ComplianceWorld> {
  const { world, server, vm, connect } = await serve(plugin);
  return {
    vm,
    connect,
    runningCopies: () => {
      const running = world.running(vm.id);
      return { source: running.includes('a'), destination: running.includes('b') };
    },
    maxRunningCopies: () => (world.violations.length > 0 ? 2 : 1),
    killOrchestrator: () => server.breakConnections(),
    setDestinationReachable: (reachable) => (reachable ? server.comeBack() : server.goAway('b')),
    whilePerforming(action) {
      void world
        .until(() => world.presence('a', vm.id).moving)
        .then(() => {
          world.isLinkCut = true; // it moves until somebody stops it
          action();
        });
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The same, for drills. */
export async function servedDrillWorld<Config, Options>(
  plugin: HypervisorPlugin<Config, Options>,
): Promise<DrillWorld> {
  const { world, server, vm, connect } = await serve(plugin);
  return {
    vm,
    connect,
    networkMap: { default: ISOLATED_NETWORK },
    fingerprint: async () => JSON.stringify([world.vm('a', vm.id), world.running(vm.id), world.violations]),
    copies: async () =>
      world.vms('b').map(({ id, name }) => ({ id, name, networks: world.drills.copies.get(id)?.networks ?? [] })),
    leftovers: async () => world.drills.leftovers,
    killOrchestrator: () => server.breakConnections(),
    setDestinationReachable: (reachable) => (reachable ? server.comeBack() : server.goAway('b')),
    whileCopying(action) {
      world.isLinkCut = true; // it crosses until somebody stops it
      void world.until(() => world.drills.isAnyCopying).then(action);
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** The same, for VMs that are off. */
export async function servedRelocationWorld<Config, Options>(
  plugin: HypervisorPlugin<Config, Options>,
): Promise<RelocationWorld> {
  const { world, server, vm, connect } = await serve(plugin);
  world.powerOff('a', vm.id);
  const definition = (host: string) => {
    const there = world.vm(host, vm.id);
    if (there === undefined) return 'absent';
    return there.heldBy === undefined ? 'startable' : 'held';
  };
  return {
    vm,
    connect,
    definitions: async () => ({ source: definition('a'), destination: definition('b') }),
    fingerprint: async () => JSON.stringify([world.vm('a', vm.id), [...world.relocations.keptOff]]),
    startsWithHost: async () => !world.relocations.keptOff.has(vm.id),
    leftovers: async () => {
      const isUsed = world.vm('b', vm.id) !== undefined;
      return [...(isUsed ? [] : world.relocations.disks.keys()), ...world.violations.map(({ what }) => what)];
    },
    startAtSource: () => world.start('a', vm.id),
    defineAtDestination: () => world.define('b', vm, undefined),
    killOrchestrator: () => server.breakConnections(),
    setDestinationReachable: (reachable) => (reachable ? server.comeBack() : server.goAway('b')),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
