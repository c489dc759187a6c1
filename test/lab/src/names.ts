// Every name and address of a lab follows from its name and its index: nothing is looked up, two labs cannot meet.
//
//   10.213.INDEX.0/26   management   .1 root namespace   .10 host-a  .11 gw-a  .20 host-b  .21 gw-b
//             .64/26    site a       .65 router          .74 host-a  .75 gw-a
//             .128/26   site b       .129 router         .138 host-b .139 gw-b
//             .192/30   the WAN      .193 router a       .194 router b

import { LabError } from './errors.ts';

export const DEFAULT_NAME = 'lmas';
export const LEASE_DIR = '/run/lmas-lab';
export const STATE_ROOT = '/var/lib/lmas-lab';
/** The same path in both hosts, the same directory: libvirt sees a local file system. */
export const SHARED_DIR = '/var/lib/lab-shared';
export const IMAGES_DIR = '/var/lib/libvirt/images';

export type SiteName = 'a' | 'b';
export type MachineName = 'host-a' | 'gw-a' | 'host-b' | 'gw-b';
export const SITES: readonly SiteName[] = ['a', 'b'];
export const MACHINES: readonly MachineName[] = ['host-a', 'gw-a', 'host-b', 'gw-b'];

export function checkName(name: string): string {
  if (!/^[a-z][a-z0-9]{0,11}$/.test(name)) throw new LabError('LAB_NAME_INVALID', JSON.stringify(name));
  return name;
}

export const siteOf = (machine: MachineName): SiteName => (machine.endsWith('a') ? 'a' : 'b');
export const isHost = (machine: MachineName): boolean => machine.startsWith('host');

/** Network namespace of a machine, a router (`rtr-a`, `rtr-b`) or the line between the routers (`wan`). */
export const netnsOf = (lab: string, part: string): string => `lab-${lab}-${part}`;
export const netnsPath = (lab: string, part: string): string => `/run/netns/${netnsOf(lab, part)}`;
export const NETNS_PARTS: readonly string[] = [...MACHINES, 'rtr-a', 'rtr-b', 'wan'];

export interface Addresses {
  managementGateway: string;
  machine: Record<MachineName, { management: string; data: string }>;
  router: Record<SiteName, { site: string; wan: string; wanMac: string }>;
  siteNetwork: Record<SiteName, string>;
}

export function addressesOf(index: number): Addresses {
  const at = (last: number) => `10.213.${index}.${last}`;
  const mac = (last: number) => `02:4c:4d:00:${index.toString(16).padStart(2, '0')}:0${last}`;
  return {
    managementGateway: at(1),
    machine: {
      'host-a': { management: at(10), data: at(74) },
      'gw-a': { management: at(11), data: at(75) },
      'host-b': { management: at(20), data: at(138) },
      'gw-b': { management: at(21), data: at(139) },
    },
    router: { a: { site: at(65), wan: at(193), wanMac: mac(1) }, b: { site: at(129), wan: at(194), wanMac: mac(2) } },
    siteNetwork: { a: `${at(64)}/26`, b: `${at(128)}/26` },
  };
}

/** Interfaces in the root namespace (15 characters at most). */
export const managementBridge = (index: number): string => `lmlab${index}`;
export const managementPort = (index: number, machine: MachineName): string => `lml${index}${machine.replace('-', '')}`;
/** Of the cable that gives the management network a length, while it has one: see management-delay.ts. */
export const managementCable = (index: number, end: 'far' | 'near'): string => `lml${index}${end}`;
