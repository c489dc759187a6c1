/**
 * Worlds inside this process, by name: for trying the API with nothing else running. They are made when an endpoint first
 * names them, and end with the process. What an endpoint's configuration says of its host is done once.
 */
import { type Duplex, duplexPair } from 'node:stream';
import type { SimulatedConfig } from '../config.ts';
import { uuidOf } from './ids.ts';
import { attend, Doors } from './server.ts';
import { World } from './world.ts';

interface LocalWorld {
  readonly world: World;
  readonly doors: Doors;
  /** Hosts as they were set up. */
  readonly hosts: Map<string, string>;
}

const worlds = new Map<string, LocalWorld>();

/** A connection to the world that the endpoint names. */
export function connectLocally(config: SimulatedConfig): Duplex {
  const local = worlds.get(config.world) ?? { world: new World(), doors: new Doors(), hosts: new Map() };
  worlds.set(config.world, local);
  const setting = JSON.stringify(config);
  if (local.hosts.get(config.host) !== setting) {
    local.hosts.set(config.host, setting);
    setUp(local.world, config);
  }
  const [here, there] = duplexPair();
  here.once('close', () => there.destroy());
  there.once('close', () => here.destroy());
  attend(local.world, there, local.doors);
  return here;
}

function setUp(
  world: World,
  { world: worldName, host, vms, cpus, memoryBytes, storage, rateBytesPerSec, delaysMs, faults }: SimulatedConfig,
): void {
  world.addHost(host);
  world.shapes.set(host, { cpus, memoryBytes, storage: storage.map((one) => ({ ...one, usable: true })) });
  if (rateBytesPerSec !== null) world.rates.set(host, rateBytesPerSec);
  for (const { id, poweredOff, ...vm } of vms) {
    const vmId = id ?? uuidOf(`${worldName}/${host}/${vm.name}`);
    // A VM that has been moved is not started a second time.
    if (world.performs.has(vmId) || world.hosts.some((each) => world.vm(each, vmId) !== undefined)) continue;
    world.addVm(host, { id: vmId, ...vm });
    if (poweredOff) world.powerOff(host, vmId);
  }
  for (const [verb, ms] of Object.entries(delaysMs)) world.delaysMs.set(`${host}.${verb}`, ms);
  for (const { call, kind, times, vm, code } of faults) {
    world.faults.arm(`${host}.${call}`, kind, { times: times ?? Number.POSITIVE_INFINITY, vm, code });
  }
}
