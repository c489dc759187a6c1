/** What a vCenter of the lab consists of, as a test writes it down. Plain data: it also travels to other processes as JSON. */

export interface DiskSpec {
  /** `VirtualDisk.key`; 2000, 2001 and so on unless said. */
  readonly key?: number;
  readonly sizeBytes: number;
  readonly datastore: string;
}

export interface NicSpec {
  /** 4000, 4001 and so on unless said. */
  readonly key?: number;
  readonly network: string;
  readonly mac?: string;
}

export type EncryptionMode = 'disabled' | 'opportunistic' | 'required';

export interface VmSpec {
  readonly name: string;
  readonly instanceUuid: string;
  /** BIOS UUID. */
  readonly uuid: string;
  readonly memoryBytes: number;
  readonly cpus?: number;
  readonly disks: readonly DiskSpec[];
  readonly nics?: readonly NicSpec[];
  readonly migrateEncryption?: EncryptionMode;
  /** Names of its snapshots, each the child of the one before. */
  readonly snapshots?: readonly string[];
  /** Further devices, as published data objects (`{ _typeName: 'VirtualPCIPassthrough', key: 13000 }`). */
  readonly devices?: readonly object[];
  readonly folder?: string;
  readonly poweredOn?: boolean;
  /** Encrypted VM: `config.keyId` is set. */
  readonly encrypted?: boolean;
}

export interface VmkernelSpec {
  readonly device: string;
  readonly address: string;
  readonly prefixLength: number;
  /** Key of the TCP/IP stack: `defaultTcpipStack`, `vmotion`, `vSphereProvisioning`. */
  readonly stack: string;
  readonly services: readonly ('management' | 'vmotion' | 'vSphereProvisioning')[];
  readonly mtu?: number;
}

export interface HostSpec {
  readonly name: string;
  /** Stands alone unless it names a cluster. */
  readonly cluster?: string;
  readonly vmkernels: readonly VmkernelSpec[];
  /** Default gateways by stack. */
  readonly gateways?: Readonly<Record<string, string>>;
  /** TCP ports, 8000 and 902 unless said; 0 takes a free one. */
  readonly ports?: Readonly<Partial<Record<'vmotion' | 'nfc', number>>>;
  readonly memoryBytes?: number;
  readonly cpuCores?: number;
  readonly cpuMhz?: number;
  readonly connectionState?: 'connected' | 'disconnected' | 'notResponding';
  readonly inMaintenanceMode?: boolean;
  readonly vms?: readonly VmSpec[];
}

export interface ClusterSpec {
  readonly name: string;
  readonly evcModeKey?: string;
}

export interface DatastoreSpec {
  readonly name: string;
  /** Every host unless it names some. */
  readonly hosts?: readonly string[];
  readonly capacityBytes?: number;
  readonly freeBytes?: number;
  /** The same for datastores of two vCenters that are one. */
  readonly url?: string;
}

export interface NetworkSpec {
  readonly name: string;
  readonly kind?: 'standard' | 'distributed';
  readonly hosts?: readonly string[];
}

export interface VcenterSpec {
  readonly name: string;
  readonly login: { readonly username: string; readonly password: string };
  /** `8.0.2.0` unless said. */
  readonly apiVersion?: string;
  /** Whether VI/JSON is offered: from 8.0.1.0 on, unless said. */
  readonly viJson?: boolean;
  readonly datacenter: string;
  /** Folders of VMs, as `production/shop`. */
  readonly folders?: readonly string[];
  readonly clusters?: readonly ClusterSpec[];
  readonly hosts: readonly HostSpec[];
  readonly datastores: readonly DatastoreSpec[];
  readonly networks: readonly NetworkSpec[];
  /** Privileges that the user does not have: `Resource.HotMigrate` everywhere, or on objects of that name. */
  readonly withheldPrivileges?: readonly { readonly privilege: string; readonly object?: string }[];
  /** Edition in the licences of every host: `Enterprise Plus` unless said. Features follow from `licenseFeatures`. */
  readonly licenseEdition?: string;
  readonly licenseFeatures?: readonly string[];
}
