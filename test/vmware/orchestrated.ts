/**
 * A real orchestrator with its Redis, between two vCenters of the lab that it sets routes at. The gateways exist in a simulated world only; the
 * hosts reach each other on loopback once their routes let them.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { HypervisorPlugin } from '@lmas/plugin-api';
import { serveWorld } from '@lmas/plugin-simulated/world';
import { readConfig } from '../../apps/orchestrator/src/config.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { startOrchestrator } from '../../apps/orchestrator/src/main.ts';
import { createRegistry } from '../../apps/orchestrator/src/plugins/registry.ts';
import { plugin } from '../compliance/vmware-world.ts';
import { VCENTER_LOGIN } from '../lab/vsphere/two-vcenters.ts';
import type { LocalVcenter } from '../lab/vsphere/vcenter.ts';
import { createSimulatedProvisioner, hostOfWorld } from '../simulated/gateways.ts';
import { PairWorld } from '../simulated/world.ts';
import { Api, SHORT } from '../workflow/harness.ts';
import { GATEWAYS } from './rehearsal.ts';

type Vcenters = Readonly<Record<'a' | 'b', LocalVcenter>>;

/** @param settings of both endpoints, `vc-a` and `vc-b` @param environment of the orchestrator */
export async function orchestrate(
  directory: string,
  vcenters: Vcenters,
  settings: Record<string, unknown> = {},
  environment: Record<string, string> = {},
): Promise<AsyncDisposable & { readonly api: Api }> {
  await using stack = new AsyncDisposableStack();
  const world = new PairWorld();
  const served = stack.use(await serveWorld(world, join(directory, 'world.sock'), world.answerGatewayCall));
  const config = readConfig({ ...SHORT, ...environment, LMAS_DATA_DIR: directory });
  const parts = { plugins: createRegistry([plugin as HypervisorPlugin]), gateways: createSimulatedProvisioner };
  const orchestrator = await startOrchestrator(config, createLog(config.logLevel), parts);
  stack.defer(() => orchestrator.stop());
  const api = await Api.of(orchestrator);
  await register(api, served.socketPath, vcenters, settings);
  const all = stack.move();
  return { api, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

/** Waits until a migration has come to `gate`, and no longer than until it has ended: nothing would ever come then. */
export async function untilHeld(api: Api, id: string, gate: Promise<unknown>, limitMs: number): Promise<void> {
  let isHeld = false;
  const held = gate.then(() => {
    isHeld = true;
  });
  const seen = await api.until(id, (migration) => isHeld || ENDED.has(migration.phase), limitMs);
  assert.ok(isHeld, `it has ended before it came to the gate: ${JSON.stringify(seen)}`);
  await held;
}

const ENDED: ReadonlySet<string> = new Set(['succeeded', 'failed', 'cancelled']);

async function register(api: Api, socketPath: string, vcenters: Vcenters, settings: Record<string, unknown>) {
  await api.must('POST', '/v1/credentials', { id: 'vc', kind: 'password', ...VCENTER_LOGIN });
  for (const [site, vcenter] of Object.entries(vcenters)) {
    const ssh = { host: hostOfWorld(socketPath), hostKeys: [`SHA256:${'A'.repeat(43)}`], credential: 'vc' };
    const hypervisorAddress = site === 'a' ? GATEWAYS.source : GATEWAYS.destination;
    const tunnelPorts = { min: 17_600, max: 17_699 };
    const gateway = { ssh, tunnelAddress: hypervisorAddress, hypervisorAddress, tunnelPorts };
    await api.must('POST', '/v1/sites', { id: site, gateway });
    const { address: host, port, certificate } = vcenter;
    const config = { host, port, tlsFingerprints: [certificate?.fingerprint], routes: 'temporary', ...settings };
    await api.must('POST', '/v1/endpoints', { id: `vc-${site}`, site, plugin: 'vmware', credential: 'vc', config });
  }
}
