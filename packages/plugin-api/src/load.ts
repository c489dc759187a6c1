/**
 * How busy an endpoint is, for whoever decides where VMs should run. Averages over a stated time; what the hypervisor does
 * not tell is null and never 0.
 */

export interface Load {
  /** The time that processor and network use are averaged over. */
  readonly intervalMs: number;
  readonly host: {
    /** Of `Inventory.host.cpus`: everything that runs there, the hypervisor itself among it. */
    readonly cpuCores: number | null;
  };
  /** Those that run; of those that came or went meanwhile, some. */
  readonly vms: readonly VmLoad[];
}

export interface VmLoad {
  /** As in the inventory. */
  readonly id: string;
  readonly cpuCores: number | null;
  /** What the guest has now, which a balloon may have made less than its most. */
  readonly memoryBytes: number | null;
  /** Sent and received, all its interfaces together. */
  readonly networkBytesPerSec: number | null;
  /** How fast it writes to its memory, where the hypervisor can tell and the guest does not notice. */
  readonly dirtyRateBytesPerSec: number | null;
}
