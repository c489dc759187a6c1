/**
 * What the inventory shows, kept as the vCenter tells the changes: the first look fetches everything in pages, every later one of
 * the same session only what changed since. One look at a time; who gives up while another one looks waits no longer.
 */
import type { z } from 'zod';
import { type Options, unlessAborted, type VimClient } from '../client.ts';
import { isFault } from '../errors.ts';
import { type Row, type Update, Watch } from '../properties.ts';
import { datastoreSchema, followedHostSchema, namedSchema, networkSchema, vmSchema } from '../records.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';

export const shownVmSchema = vmSchema.pick({
  ...{ name: true, 'config.instanceUuid': true, 'config.template': true, 'config.hardware.memoryMB': true },
  ...{ 'config.hardware.numCPU': true, 'config.hardware.device': true, 'config.managedBy': true },
  ...{ 'runtime.host': true, 'runtime.powerState': true, 'runtime.connectionState': true, network: true },
});
export type ShownVm = z.infer<typeof shownVmSchema>;

const KINDS = [
  { type: 'VirtualMachine', shape: shownVmSchema },
  { type: 'HostSystem', shape: followedHostSchema },
  { type: 'ClusterComputeResource', shape: namedSchema },
  { type: 'Datastore', shape: datastoreSchema },
  { type: 'Network', shape: networkSchema },
];
/** Of networks only the distributed port groups are of another type than the one asked for. */
const KIND_OF: Readonly<Record<string, string>> = { DistributedVirtualPortgroup: 'Network', OpaqueNetwork: 'Network' };

interface Held {
  readonly ref: Ref;
  readonly properties: Readonly<Record<string, unknown>>;
}

export class Mirror {
  readonly #client: VimClient;
  readonly #objects = new Map<string, Held>();
  #watch: Watch | undefined;
  #looking: Promise<unknown> = Promise.resolve();
  #whole = false;

  constructor(client: VimClient) {
    this.#client = client;
  }

  /** Whether a look costs no more than what has changed since the last one. */
  get follows(): boolean {
    return this.#whole && this.#watch?.isStale === false;
  }

  /** Catches up with the vCenter. */
  async look(options: Options): Promise<Seen> {
    const looking = this.#looking.then(async () => {
      await this.#look(options);
      return new Seen(this.#client, [...this.#objects.values()]); // before the next look begins, which may have to forget all of it
    });
    this.#looking = looking.catch(() => undefined);
    return await unlessAborted(looking, options.signal);
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
    this.#whole = true;
  }

  async #forget(): Promise<void> {
    await this.#watch?.close();
    this.#watch = undefined;
    this.#whole = false;
    this.#objects.clear();
  }

  #apply({ kind, obj, changeSet }: Update): void {
    const key = refKey(obj);
    if (kind === 'leave') {
      this.#objects.delete(key);
      return;
    }
    const properties = { ...this.#objects.get(key)?.properties }; // what was seen before stays as it was seen
    for (const { name, op, val } of changeSet) {
      if (op === 'remove' || op === 'indirectRemove' || val === undefined) delete properties[name];
      else properties[name] = val;
    }
    this.#objects.set(key, { ref: obj, properties });
  }
}

/** What one look has seen. */
export class Seen {
  readonly #client: VimClient;
  readonly #objects: readonly Held[];

  constructor(client: VimClient, objects: readonly Held[]) {
    this.#client = client;
    this.#objects = objects;
  }

  /** Without those that cannot be understood: what a login may not see, or what is just being made. */
  rows<S extends z.ZodObject>(type: string, shape: S): Row<z.output<S>>[] {
    return this.#objects
      .filter(({ ref }) => (KIND_OF[ref.type] ?? ref.type) === type)
      .flatMap((held) => this.#parse(held, shape) ?? []);
  }

  row<S extends z.ZodObject>(ref: Ref, shape: S): Row<z.output<S>> | undefined {
    const held = this.#objects.find((each) => sameRef(each.ref, ref));
    return held && this.#parse(held, shape);
  }

  #parse<S extends z.ZodObject>({ ref, properties }: Held, shape: S): Row<z.output<S>> | undefined {
    const parsed = shape.safeParse(properties);
    if (parsed.success) return { ref, record: parsed.data };
    this.#client.noteUnreadable(ref, parsed.error.message);
    return undefined;
  }
}
