/**
 * The places of an endpoint that stands for more than one host: for people who look at it, and who choose where a VM goes.
 * Everything is as the hypervisor tells it; what it does not tell is null. Within one endpoint an `id` is told apart from every name, and
 * options take either.
 */

/**
 *   connected     answers, and takes VMs
 *   maintenance   answers, and takes none: somebody keeps it free of them
 *   disconnected  the control point has lost it, or it is off: its numbers are of the last time that it was seen
 */
export const HOST_STATES = ['connected', 'maintenance', 'disconnected'] as const;
export type HostState = (typeof HOST_STATES)[number];

export interface HostSummary {
  readonly name: string;
  /** The hypervisor's stable identifier (managed object id, XAPI uuid), where the name alone may not do. */
  readonly id?: string;
  /** The cluster within the endpoint that it belongs to. */
  readonly cluster: string | null;
  readonly state: HostState;
  /** Counted as `Inventory.host.cpus`. */
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly memoryFreeBytes: number;
}

/** Where disks of VMs can be: a datastore, a storage repository, a storage pool. What holds only installation media is none. */
export interface StorageSummary {
  readonly name: string;
  /** As that of a host. */
  readonly id?: string;
  /** It can be written to now: accessible, and not in maintenance. */
  readonly usable: boolean;
  readonly capacityBytes: number | null;
  readonly freeBytes: number | null;
  /** More than one host is set up to see it. */
  readonly shared: boolean | null;
  /** The one of `hosts` that sees it; absent where several do, or where the endpoint is one host. */
  readonly host?: string;
}

/** Of the lists in an inventory: what the value of an option is one of. */
export type PlaceKind = 'host' | 'storage';

declare module 'zod' {
  interface GlobalMeta {
    /** Of an option: it is the name or the id of such a place at the destination. Whoever fills a form in is offered them. */
    names?: PlaceKind;
  }
}
