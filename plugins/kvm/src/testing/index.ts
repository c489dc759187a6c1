/** What other packages' tests may use: scripted daemons, and the plugin's world for the compliance suite. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeWorld } from './fake-libvirt/index.ts';

export { drillOptions, FakeDrillWorld } from './drill-world.ts';
export { FakeHost, FakeWorld, type Script } from './fake-libvirt/index.ts';
export { CopiedRelocationWorld, FakeRelocationWorld } from './relocation-world.ts';

/** Two scripted hosts with one running VM, as the compliance suite wants them. */
export async function fakeComplianceWorld() {
  const uuid = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
  const files = mkdtempSync(join(tmpdir(), 'lmas-kvm-'));
  writeFileSync(join(files, 'vda.img'), Buffer.alloc(1_048_576));
  const world = new FakeWorld();
  const source = world.addHost('a', files);
  const destination = world.addHost('b', files);
  source.addGuest('web', uuid);
  const signal = AbortSignal.timeout(120_000);
  return {
    vm: { id: uuid, name: 'web' },
    connect: async () => ({ source: await source.session(signal), destination: await destination.session(signal) }),
    runningCopies: () => {
      const running = world.running(uuid);
      return { source: running.includes('a'), destination: running.includes('b') };
    },
    maxRunningCopies: () => (world.violations.length > 0 ? 2 : 1),
    killOrchestrator: () => {
      source.killClients();
      destination.killClients();
    },
    setDestinationReachable: (reachable: boolean) => {
      destination.setDown(!reachable);
      if (!reachable) destination.killClients();
    },
    whilePerforming: (action: () => void) => {
      // Data flows until somebody stops it: the job ends only by an abort, or with its destination.
      source.onPerform = () => {
        source.onPerform = ({ finish }) => finish();
        action();
      };
    },
    [Symbol.asyncDispose]: async () => rmSync(files, { recursive: true, force: true }),
  };
}
