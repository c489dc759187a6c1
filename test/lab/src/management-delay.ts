// A distance between this machine and those of the lab. The management network has none; SSH to a site that is far away crosses one. netem
// delays every port where the kernel has it; elsewhere our emulator is put in as on the WAN, a cable whose far end takes this
// machine's address over from the bridge:
//
//   root ── lmlNfar ═══ far [lab-NAME-wan] near ═══ lmlNnear ── lmlabN ── the machines

import { join } from 'node:path';
import { run } from './command.ts';
import { emulatorLink, startEmulator } from './link-emulator.ts';
import { netemArguments } from './link-netem.ts';
import { addressesOf, MACHINES, managementBridge, managementCable, managementPort, netnsOf } from './names.ts';
import { ip } from './network.ts';
import type { ProcessRecord } from './processes.ts';
import type { LabState } from './state.ts';

/** Where the lab is, and what plays its lines. */
type Place = Pick<LabState, 'name' | 'index' | 'linkKind'>;

/** Nothing but distance. */
const lineOf = (rttMs: number) => ({ rateMbit: 0, rttMs, lossPct: 0 });

/** @returns the emulator, if it is one: whoever calls ends it before `removeManagementDelay` */
export async function addManagementDelay(
  lab: Place,
  stateDir: string,
  rttMs: number,
): Promise<ProcessRecord | undefined> {
  if (lab.linkKind === 'netem') {
    await onPorts(lab, 'replace', 'netem', ...netemArguments(lineOf(rttMs)));
    return undefined;
  }
  const [wan, bridge] = [netnsOf(lab.name, 'wan'), managementBridge(lab.index)];
  const [far, near] = [managementCable(lab.index, 'far'), managementCable(lab.index, 'near')];
  await ip([
    `link add ${far} type veth peer name far netns ${wan}`,
    `link set dev ${far} alias lmas-lab:${lab.name} up`,
    `link add ${near} type veth peer name near netns ${wan}`,
    `link set dev ${near} alias lmas-lab:${lab.name} master ${bridge} up`,
  ]);
  await ip(['link set dev far up', 'link set dev near up'], wan);
  const socket = join(stateDir, 'management.sock');
  const emulator = await startEmulator(wan, ['far', 'near'], socket, join(stateDir, 'management.log'));
  await emulatorLink(socket).set(lineOf(rttMs));
  const address = `${addressesOf(lab.index).managementGateway}/26`;
  await ip([
    `link set dev ${bridge} arp off`, // it may answer for any address of this machine, and is nearer
    `address del ${address} dev ${bridge}`,
    `address add ${address} dev ${far}`,
  ]);
  await forgetNeighbours(lab);
  return emulator;
}

/** What is not there is done. */
export async function removeManagementDelay(lab: Place): Promise<void> {
  if (lab.linkKind === 'netem') return onPorts(lab, 'del');
  const bridge = managementBridge(lab.index);
  for (const end of ['far', 'near'] as const)
    await run('ip', ['link', 'delete', managementCable(lab.index, end)], { allowFailure: true });
  await ip([
    `address replace ${addressesOf(lab.index).managementGateway}/26 dev ${bridge}`,
    `link set dev ${bridge} arp on`,
  ]);
  await forgetNeighbours(lab);
}

/** Both ends of each machine's cable, half the round trip at each. */
async function onPorts(lab: Place, how: 'replace' | 'del', ...qdisc: string[]): Promise<void> {
  for (const machine of MACHINES) {
    const ends = [
      ['qdisc', how, 'dev', managementPort(lab.index, machine)],
      ['-n', netnsOf(lab.name, machine), 'qdisc', how, 'dev', 'mgmt'],
    ];
    for (const end of ends) await run('tc', [...end, 'root', ...qdisc], { allowFailure: how === 'del' });
  }
}

/** What the machines send first would else go to the interface that had this machine's address before. */
async function forgetNeighbours(lab: Place): Promise<void> {
  for (const machine of MACHINES) await ip(['neighbour flush dev mgmt'], netnsOf(lab.name, machine));
}
