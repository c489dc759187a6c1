/**
 * Two vCenters as tests mostly want them: "alpha" with a cluster of two hosts, and "beta" with one host that stands alone. The references
 * of both begin alike, as those of real vCenters do: `host-11` is another host at each. Every host has an adapter on the vMotion stack, in
 * a network of its site, and routes nowhere else.
 */
import { uuidOf } from './inventory/seed.ts';
import type { HostSpec, VcenterSpec, VmkernelSpec, VmSpec } from './inventory/spec.ts';

const MIB = 1024 ** 2;

export const VCENTER_LOGIN = { username: 'administrator@vsphere.local', password: 'lab-vcenter-password' };

/** A VM with one disk and one network adapter. */
export function vmSpec(name: string, changes: Partial<VmSpec> = {}): VmSpec {
  return {
    ...{ name, instanceUuid: uuidOf('instance', name), uuid: uuidOf('bios', name), memoryBytes: 8 * MIB },
    disks: [{ sizeBytes: 4 * MIB, datastore: 'local-1' }],
    nics: [{ network: 'VM Network' }],
    ...changes,
  };
}

export interface SiteAddresses {
  /** For each host. */
  readonly management: readonly string[];
  readonly vmotion: readonly string[];
  /** Of adapters on the provisioning stack, where there are any. */
  readonly provisioning?: readonly string[];
  readonly prefixLength: number;
}

const hostSpec = (name: string, i: number, addresses: SiteAddresses, changes: Partial<HostSpec>): HostSpec => ({
  name,
  vmkernels: [
    {
      ...{ device: 'vmk0', address: addresses.management[i] ?? '', prefixLength: addresses.prefixLength },
      ...{ stack: 'defaultTcpipStack', services: ['management'] },
    },
    {
      ...{ device: 'vmk1', address: addresses.vmotion[i] ?? '', prefixLength: addresses.prefixLength },
      ...{ stack: 'vmotion', services: ['vmotion'] },
    },
    ...provisioningAdapter(addresses.provisioning?.[i], addresses.prefixLength),
  ],
  ...changes,
});

const provisioningAdapter = (address: string | undefined, prefixLength: number): VmkernelSpec[] =>
  address === undefined
    ? []
    : [{ device: 'vmk2', address, prefixLength, stack: 'vSphereProvisioning', services: ['vSphereProvisioning'] }];

const LOOPBACK: Readonly<Record<'alpha' | 'beta', SiteAddresses>> = {
  alpha: { management: ['127.0.1.11', '127.0.1.12'], vmotion: ['127.1.1.11', '127.1.1.12'], prefixLength: 24 },
  beta: { management: ['127.0.2.11'], vmotion: ['127.1.2.11'], prefixLength: 24 },
};

/** A cluster "compute" of two hosts that share "shared" and have a "local" datastore each. The VMs are at the first. */
export function alpha(vms: readonly VmSpec[] = [vmSpec('shop')], addresses = LOOPBACK.alpha): VcenterSpec {
  return {
    ...{ name: 'alpha', login: VCENTER_LOGIN, datacenter: 'Alpha', folders: ['production/shops'] },
    clusters: [{ name: 'compute', evcModeKey: 'intel-skylake' }],
    hosts: [
      hostSpec('esx-a1', 0, addresses, { cluster: 'compute', vms }),
      hostSpec('esx-a2', 1, addresses, { cluster: 'compute' }),
    ],
    datastores: [{ name: 'local-1', hosts: ['esx-a1'] }, { name: 'local-2', hosts: ['esx-a2'] }, { name: 'shared' }],
    networks: [{ name: 'VM Network' }, { name: 'dv-lan', kind: 'distributed' }],
  };
}

/** One host that stands alone, with one datastore and two networks. */
export function beta(vms: readonly VmSpec[] = [], addresses = LOOPBACK.beta): VcenterSpec {
  return {
    ...{ name: 'beta', login: VCENTER_LOGIN, datacenter: 'Beta', folders: ['arrived'] },
    hosts: [hostSpec('esx-b1', 0, addresses, { vms })],
    datastores: [{ name: 'beta-store' }],
    networks: [{ name: 'VM Network' }, { name: 'dv-beta', kind: 'distributed' }],
  };
}
