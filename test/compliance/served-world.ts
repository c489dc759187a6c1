/**
 * Two simulated hosts that are served on a socket, as another process would, for every plugin that speaks their language.
 */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import { serveWorld, World } from '@lmas/plugin-simulated/world';
import type { ComplianceWorld } from './suite.ts';

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

export async function servedWorld<Config, Options>(
  plugin: HypervisorPlugin<Config, Options>,
): Promise<ComplianceWorld> {
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
  return {
    vm,
    connect: async () => ({ source: await connect('a'), destination: await connect('b') }),
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
