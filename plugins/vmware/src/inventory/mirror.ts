/**
 * What the inventory shows, kept as the vCenter tells the changes: the first look fetches everything in pages, every later one of
 * the same session only what changed since. One look at a time.
 */
import type { z } from 'zod';
import type { Options, VimClient } from '../client.ts';
import { isFault } from '../errors.ts';
import { type Row, type Update, Watch } from '../properties.ts';
import { datastoreSchema, hostSchema, namedSchema, networkSchema, vmSchema } from '../records.ts';
import { type Ref, refKey } from '../wire/data-objects.ts';

export const shownVmSchema = vmSchema.pick({
  ...{ name: true, 'config.instanceUuid': true, 'config.template': true, 'config.hardware.memoryMB': true },
  ...{ 'config.hardware.numCPU': true, 'config.hardware.device': true, 'config.managedBy': true },
  ...{ 'runtime.host': true, 'runtime.powerState': true, 'runtime.connectionState': true, network: true },
});
export type ShownVm = z.infer<typeof shownVmSchema>;

const KINDS = [
  { type: 'VirtualMachine', shape: shownVmSchema },
  { type: 'HostSystem', shape: hostSchema },
  { type: 'ClusterComputeResource', shape: namedSchema },
  { type: 'Datastore', shape: datastoreSchema },
  { type: 'Network', shape: networkSchema },
];
/** Of networks only the distributed port groups are of another type than the one asked for. */
const KIND_OF: Readonly<Record<string, string>> = { DistributedVirtualPortgroup: 'Network', OpaqueNetwork: 'Network' };

interface Held {
  readonly ref: Ref;
  readonly properties: Record<string, unknown>;
}

export class Mirror {
  readonly #client: VimClient;
  readonly #objects = new Map<string, Held>();
  #watch: Watch | undefined;
  #looking: Promise<void> = Promise.resolve();

  constructor(client: VimClient) {
    this.#client = client;
  }

  /** Catches up with the vCenter. */
  async look(options: Options): Promise<void> {
    const looking = this.#looking.then(() => this.#look(options));
    this.#looking = looking.catch(() => undefined);
    await looking;
  }

  async #look(options: Options): Promise<void> {
    try {
      await this.#catchUp(options);
    } catch (error) {
      // Another session, or a version that the server has forgotten: everything anew, once.
      if (!isFault(error, 'ManagedObjectNotFound', 'InvalidCollectorVersion')) throw error;
      await this.#forget();
      await this.#catchUp(options);
    }
  }

  async #catchUp(options: Options): Promise<void> {
    if (this.#watch?.isStale === true) await this.#forget();
    this.#watch ??= await Watch.kinds(this.#client, KINDS, options);
    for (const update of await this.#watch.next(0, options)) this.#apply(update);
  }

  async #forget(): Promise<void> {
    await this.#watch?.close();
    this.#watch = undefined;
    this.#objects.clear();
  }

  #apply({ kind, obj, changeSet }: Update): void {
    const key = refKey(obj);
    if (kind === 'leave') {
      this.#objects.delete(key);
      return;
    }
    const held = this.#objects.get(key) ?? { ref: obj, properties: {} };
    for (const { name, op, val } of changeSet) {
      if (op === 'remove' || op === 'indirectRemove' || val === undefined) delete held.properties[name];
      else held.properties[name] = val;
    }
    this.#objects.set(key, held);
  }

  /** Without those that cannot be understood: what a login may not see, or what is just being made. */
  rows<S extends z.ZodObject>(type: string, shape: S): Row<z.output<S>>[] {
    return [...this.#objects.values()].flatMap(({ ref, properties }) => {
      if ((KIND_OF[ref.type] ?? ref.type) !== type) return [];
      const parsed = shape.safeParse(properties);
      if (parsed.success) return [{ ref, record: parsed.data }];
      this.#client.noteUnreadable(ref, parsed.error.message);
      return [];
    });
  }
}
