/**
 * Plain Xen on a host of the lab: the scripted xl in the machine, met over its own sshd and with its own addresses. It goes with
 * the machine; `remove` takes it away before.
 */
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Lab, LabHost, SiteName } from '../src/index.ts';
import { type HostSettings, readTruth, ScriptedHost, type TruthEntry } from './host.ts';

const INSIDE = '/run/xl';
/** Seen by both machines, and from outside. */
const TRUTH_INSIDE = '/var/lib/lab-shared/xl-truth';
export const truthOf = (lab: Lab): readonly TruthEntry[] => readTruth(truthPath(lab));
const truthPath = ({ stateDir }: Lab): string => join(stateDir, 'shared', 'xl-truth');

export interface LabGuest {
  readonly name: string;
  readonly uuid: string;
  readonly memoryMib: number;
}

export class LabXlHost {
  readonly host: ScriptedHost;
  readonly #machine: LabHost;

  private constructor(machine: LabHost, host: ScriptedHost) {
    this.#machine = machine;
    this.host = host;
  }

  /** @param guest runs there from the start */
  static async start(
    lab: Lab,
    site: SiteName,
    guest: LabGuest | null,
    more: Partial<HostSettings> = {},
  ): Promise<LabXlHost> {
    const machine = lab.sites[site].host;
    const settings = { name: `xen-${site}`, truth: truthPath(lab), ...more };
    const host = ScriptedHost.make(machine.path(INSIDE), settings, `${INSIDE}/cache`, INSIDE);
    if (guest !== null) {
      const { name, uuid, memoryMib } = guest;
      await host.add({
        ...{ name, uuid, memoryMib, vcpus: 2, state: 'running' },
        config: {
          c_info: { type: 'pvh', name, uuid },
          b_info: { max_vcpus: 2, max_memkb: memoryMib * 1024, target_memkb: memoryMib * 1024 },
          disks: [{ pdev_path: '/dev/null', vdev: 'xvda', format: 'raw', readwrite: 1 }],
          nics: [{ devid: 0, mac: '00:16:3e:00:00:01', bridge: 'br-lab' }],
        },
      });
    }
    host.set({ ...settings, truth: TRUTH_INSIDE });
    return new LabXlHost(machine, host);
  }

  /** Settings of its endpoint. */
  get config(): object {
    const { ssh, dataAddress } = this.#machine;
    return {
      ...{ host: ssh.host, port: ssh.port, hostKeys: [ssh.hostKeySha256] },
      ...{ migrationAddress: dataAddress, sharedPaths: ['/dev'], xlPath: join(INSIDE, basename(this.host.program)) },
      lockPath: `${INSIDE}/xl.lock`,
    };
  }

  get running(): number {
    return this.host.domains().filter(({ state }) => state === 'running').length;
  }

  remove(): void {
    rmSync(this.#machine.path(INSIDE), { recursive: true, force: true });
  }
}

export const forgetTruth = (lab: Lab): void => rmSync(truthPath(lab), { force: true });
