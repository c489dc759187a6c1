/**
 * What can go wrong at any moment: each fault strikes, stays for a while, and is healed by what any machine does (its
 * daemons are started again). None of them is told to LMAS.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { LabHost } from '../lab/src/index.ts';
import type { World } from '../support/world.ts';
import type { Random } from './random.ts';

export interface Fault {
  readonly name: string;
  /** What it takes away. Two faults of one round never share it: the one's healing would undo the other. */
  readonly victim: string;
  /** Strikes, stays for `staysMs`, heals. Resolves when it is healed. */
  strike(world: World, staysMs: number): Promise<void>;
}

type MachineChoice = (world: World) => LabHost;

const MACHINES: readonly [name: string, choose: MachineChoice][] = [
  ['host A', (world) => world.lab.sites.a.host],
  ['host B', (world) => world.lab.sites.b.host],
  ['gateway machine A', (world) => world.lab.sites.a.gatewayHost],
  ['gateway machine B', (world) => world.lab.sites.b.gatewayHost],
];
const HOSTS = MACHINES.slice(0, 2);
const GATEWAY_MACHINES = MACHINES.slice(2);

const orchestratorKilled: Fault = {
  name: 'orchestrator killed',
  victim: 'orchestrator',
  async strike(world, staysMs) {
    await world.orchestrator.kill();
    await delay(staysMs);
    await world.orchestrator.restart();
  },
};

/** The orchestrator lives on, and starts it again by itself. */
const redisKilled: Fault = {
  name: 'Redis killed',
  victim: 'orchestrator',
  async strike(world) {
    await world.orchestrator.killRedis();
  },
};

const bothKilled: Fault = {
  name: 'Redis and orchestrator killed',
  victim: 'orchestrator',
  async strike(world, staysMs) {
    await world.orchestrator.kill();
    await world.orchestrator.killRedis();
    await delay(staysMs);
    await world.orchestrator.restart();
  },
};

const sshdKilled = MACHINES.map(
  ([machine, choose]): Fault => ({
    name: `sshd of ${machine} killed`,
    victim: `sshd of ${machine}`,
    async strike(world, staysMs) {
      await choose(world).killSshd();
      await delay(staysMs);
      await choose(world).startSshd();
    },
  }),
);

const managementCut = MACHINES.map(
  ([machine, choose]): Fault => ({
    name: `management network of ${machine} cut`,
    victim: `management network of ${machine}`,
    async strike(world, staysMs) {
      await choose(world).setInterface('mgmt', false);
      await delay(staysMs);
      await choose(world).setInterface('mgmt', true);
    },
  }),
);

const libvirtdKilled = HOSTS.map(
  ([machine, choose]): Fault => ({
    name: `libvirtd of ${machine} killed`,
    victim: `libvirtd of ${machine}`,
    async strike(world, staysMs) {
      await choose(world).killLibvirtd();
      await delay(staysMs);
      await choose(world).startLibvirtd();
    },
  }),
);

const libvirtdFrozen = HOSTS.map(
  ([machine, choose]): Fault => ({
    name: `libvirtd of ${machine} frozen`,
    victim: `libvirtd of ${machine}`,
    async strike(world, staysMs) {
      await choose(world).pause('libvirtd');
      await delay(staysMs);
      await choose(world).resume('libvirtd');
    },
  }),
);

const gatewayKilled = GATEWAY_MACHINES.map(
  ([machine, choose]): Fault => ({
    name: `gateway on ${machine} killed`,
    victim: `gateway on ${machine}`,
    async strike(world) {
      // The launcher's path is in the command line of every gateway of this machine; the machine has its own PID namespace.
      await choose(world).exec(['pkill', '-KILL', '-f', 'lmas-gateway'], { allowFailure: true });
    },
  }),
);

const linkCut: Fault = {
  name: 'link cut',
  victim: 'link',
  async strike(world, staysMs) {
    await world.lab.outage('on');
    await delay(staysMs);
    await world.lab.outage('off');
  },
};

export const FAULTS: readonly Fault[] = [
  orchestratorKilled,
  redisKilled,
  bothKilled,
  linkCut,
  ...sshdKilled,
  ...managementCut,
  ...libvirtdKilled,
  ...libvirtdFrozen,
  ...gatewayKilled,
];

export interface PlannedFault {
  readonly fault: Fault;
  readonly afterMs: number;
  readonly staysMs: number;
}

/** One to three faults, each with a victim of its own, while a migration of some seconds runs. */
export function planFaults(random: Random): PlannedFault[] {
  const count = random.pick([1, 1, 2, 3]);
  const faults = new Map<string, Fault>();
  while (faults.size < count) {
    const fault = random.pick(FAULTS);
    if (!faults.has(fault.victim)) faults.set(fault.victim, fault);
  }
  return [...faults.values()].map((fault) => ({
    fault,
    afterMs: random.between(0, 6_000),
    staysMs: random.between(0, 6_000),
  }));
}
