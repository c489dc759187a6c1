/** What the troubles share: a migration between the vCenters of a world, driven as the orchestrator does, and everything that was said. */
import {
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PluginError,
  type PluginResource,
  type Prepared,
} from '@lmas/plugin-api';
import { plugin, VmwareWorld, type WorldShape } from '../compliance/vmware-world.ts';

type Options = ReturnType<typeof plugin.optionsSchema.parse>;
export type Request = MigrationRequest<Options>;

export const GATEWAYS = { source: '127.1.1.5', destination: '127.1.2.5' };
/** As a tunnel that encrypts, with a gateway in each vMotion network. */
export const TUNNELLED: Partial<Request> = { tunnelled: true, tunnel: { encrypts: true, nextHops: GATEWAYS } };

export class Rehearsal implements AsyncDisposable {
  readonly world: VmwareWorld;
  readonly signal = AbortSignal.timeout(60_000);
  readonly journal: PluginResource[] = [];
  readonly progress: MigrationProgress[] = [];
  /** Every line of the log, as text. */
  readonly log: string[] = [];
  /** Ids of shared resources that another migration holds. */
  readonly held = new Set<string>();
  current = true;

  private constructor(world: VmwareWorld) {
    this.world = world;
  }

  static async make(shape: WorldShape = {}): Promise<Rehearsal> {
    return new Rehearsal(await VmwareWorld.make(shape));
  }

  /** A driver as a new process would make it. @param settings of the two endpoints */
  async driver(
    options: Partial<Options> = {},
    changes: Partial<Request> = {},
    settings: Record<string, unknown> = {},
  ): Promise<MigrationDriver> {
    const [source, destination] = [
      await this.world.session('source', settings),
      await this.world.session('destination', settings),
    ];
    return plugin.migration({ source, destination }, this.request(options, changes), this.context());
  }

  request(options: Partial<Options> = {}, changes: Partial<Request> = {}): Request {
    return {
      migrationId: 'm_00000000-0000-4000-8000-000000000001',
      vm: this.world.vm,
      options: plugin.optionsSchema.parse(options),
      ...{ networkMap: {}, diskMap: {}, convergence: 'balanced', maxDowntimeMs: null },
      ...{ bandwidthBytesPerSec: null, tunnelled: false },
      ...changes,
    };
  }

  /** One entry for each, as it was written last. */
  #note(resource: PluginResource): void {
    const entry = JSON.parse(JSON.stringify(resource)) as PluginResource;
    const at = this.journal.findIndex((other) => isSame(other, entry));
    this.journal.splice(at < 0 ? this.journal.length : at, 1, entry);
  }

  context(): MigrationContext {
    const say = (fields: object, message: string): void => {
      const { err } = fields as { err?: Error };
      this.log.push(`${message} ${JSON.stringify(fields)} ${err?.stack ?? ''} ${String(err?.cause ?? '')}`);
    };
    return {
      log: { debug: say, info: say, warn: say, error: say },
      recordIntent: async (resource) => this.#note(resource),
      withdrawIntent: async (resource) => {
        const at = this.journal.findIndex((other) => isSame(other, resource));
        if (at >= 0) this.journal.splice(at, 1);
      },
      joinHolders: async (resource) => {
        if (!this.held.has(resource.id)) return false;
        this.#note(resource);
        return true;
      },
      assertCurrent: async () => {
        if (!this.current) throw new PluginError('SUPERSEDED', 'another run has taken over');
      },
    };
  }

  perform(driver: MigrationDriver, prepared: Prepared, signal: AbortSignal = this.signal): Promise<void> {
    return driver.perform(
      prepared,
      {},
      {
        signal: AbortSignal.any([signal, this.signal]),
        onProgress: (progress) => this.progress.push(progress),
        onPointOfNoReturn: async () => undefined,
      },
    );
  }

  async move(driver: MigrationDriver): Promise<void> {
    await this.perform(driver, await driver.prepare({ signal: this.signal }));
  }

  /** As the orchestrator after an ending: newest first. */
  async release(driver: MigrationDriver): Promise<void> {
    for (const resource of this.journal.toReversed()) await driver.release(resource, { signal: this.signal });
  }

  count(method: string): number {
    return this.world.source.endpoint.calls.filter((call) => call === method).length;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.world[Symbol.asyncDispose]();
  }
}

/** Waits until what runs has come to `gate`. Where it ends before, that is an error: nothing would ever come. */
export async function reached(gate: Promise<unknown>, run: Promise<unknown>): Promise<void> {
  const ended = run.then(
    (outcome) => Promise.reject(new Error('It ended before it came to the gate.', { cause: outcome })),
    (reason) => Promise.reject(new Error('It failed before it came to the gate.', { cause: reason })),
  );
  await Promise.race([gate, ended]);
}

const isSame = (one: PluginResource, other: PluginResource): boolean =>
  one.kind === other.kind && one.id === other.id && one.end === other.end;
