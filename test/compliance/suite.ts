/**
 * The definition of a plugin: one suite that every plugin has to pass. An implementation brings a `ComplianceWorld` (two
 * endpoints, a VM that runs at the source, and a few hands to break things with) and calls `describePlugin`.
 *
 *     describePlugin('kvm', { plugin, makeWorld: async () => ({ … }) });
 *
 * Every test makes a world of its own and disposes of it. What a plugin cannot do (`capabilities`) is not asked of it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type ConfirmReport,
  type EndpointSession,
  type HypervisorPlugin,
  type Inventory,
  type MigrationContext,
  type MigrationDriver,
  type MigrationProgress,
  type MigrationRequest,
  PLUGIN_API_VERSION,
  PluginError,
  type PluginResource,
  type Prepared,
  pluginErrorCode,
  type Routes,
  type VmRef,
} from '@lmas/plugin-api';
import { z } from 'zod';

export interface ComplianceWorld extends AsyncDisposable {
  /** A VM that runs at the source and may be migrated to the destination. */
  readonly vm: VmRef;
  /** Sessions to the two ends, anew each time. The suite closes them. */
  connect(): Promise<{ source: EndpointSession; destination: EndpointSession }>;
  /** How many copies of the VM execute now, asked of the hypervisors themselves and not of the plugin. */
  runningCopies(): { readonly source: boolean; readonly destination: boolean };
  /** The largest number of copies that ever ran at one instant. */
  maxRunningCopies(): number;
  /** As SIGKILL of the orchestrator: every connection of it is gone, and nothing it still wants is done. */
  killOrchestrator(): void;
  /** Takes the destination's control point away, or gives it back. */
  setDestinationReachable(reachable: boolean): void;
  /** Runs `action` once, at the moment at which data flows. */
  whilePerforming(action: () => void): void;
}

export interface ComplianceSubject<Config, Options> {
  readonly plugin: HypervisorPlugin<Config, Options>;
  /** Parsed; by default what `optionsSchema` makes of `{}`. */
  readonly options?: Options;
  makeWorld(): Promise<ComplianceWorld>;
}

const TIMEOUT_MS = 120_000;

/** What whoever shows and chooses places relies on. */
function assertPlaces({ hosts = [], storage = [], vms }: Inventory): void {
  for (const places of [hosts, storage]) {
    const called = places.map(({ name, id }) => id ?? name);
    assert.equal(new Set(called).size, called.length, `each can be told from the others: ${called.join(', ')}`);
  }
  const isQuantity = (value: number | null) => value === null || (Number.isSafeInteger(value) && value >= 0);
  for (const { name, cpus, memoryBytes, memoryFreeBytes } of hosts) {
    assert.ok([cpus, memoryBytes, memoryFreeBytes].every(isQuantity) && memoryFreeBytes <= memoryBytes, name);
  }
  for (const { name, capacityBytes, freeBytes } of storage) {
    assert.ok(isQuantity(capacityBytes) && isQuantity(freeBytes), name);
    assert.ok(capacityBytes === null || freeBytes === null || freeBytes <= capacityBytes, name);
  }
  const names = new Set(hosts.map(({ name }) => name));
  for (const { host, name } of [...storage, ...vms]) assert.ok(host === undefined || names.has(host), name);
}

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** An orchestrator in forty lines: what the suite does with a plugin is what the real one does. */
class Rehearsal<Config, Options> implements AsyncDisposable {
  readonly signal = AbortSignal.timeout(TIMEOUT_MS);
  readonly world: ComplianceWorld;
  readonly journal: PluginResource[] = [];
  readonly progress: MigrationProgress[] = [];
  readonly #subject: ComplianceSubject<Config, Options>;
  readonly #sessions: EndpointSession[] = [];
  prepared: Prepared | undefined;
  pointsOfNoReturn = 0;
  current = true;

  private constructor(subject: ComplianceSubject<Config, Options>, world: ComplianceWorld) {
    this.#subject = subject;
    this.world = world;
  }

  static async make<C, O>(subject: ComplianceSubject<C, O>): Promise<Rehearsal<C, O>> {
    return new Rehearsal(subject, await subject.makeWorld());
  }

  /** A driver as a new process would make it. */
  async driver(changes: Partial<MigrationRequest<Options>> = {}): Promise<MigrationDriver> {
    const { plugin } = this.#subject;
    const ends = await this.world.connect();
    this.#sessions.push(ends.source, ends.destination);
    const request: MigrationRequest<Options> = {
      migrationId: 'm_00000000-0000-4000-8000-000000000000',
      vm: this.world.vm,
      options: this.#subject.options ?? plugin.optionsSchema.parse({}),
      networkMap: {},
      diskMap: {},
      convergence: 'balanced' as const,
      maxDowntimeMs: null,
      bandwidthBytesPerSec: null,
      tunnelled: false,
      ...changes,
    };
    const context: MigrationContext = {
      log,
      recordIntent: async (resource) => {
        // What crosses the journal is JSON: it has to survive it.
        this.journal.push(JSON.parse(JSON.stringify(resource)) as PluginResource);
      },
      assertCurrent: async () => {
        if (!this.current) throw new PluginError('SUPERSEDED', 'another run has taken over');
      },
    };
    return plugin.migration(ends, request, context);
  }

  async prepare(driver: MigrationDriver): Promise<Prepared> {
    const prepared = await driver.prepare({ signal: this.signal });
    this.prepared = JSON.parse(JSON.stringify(prepared)) as Prepared;
    return this.prepared;
  }

  perform(driver: MigrationDriver, prepared: Prepared, signal: AbortSignal = this.signal): Promise<void> {
    const routes: Routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
    return driver.perform(prepared, routes, {
      signal,
      onProgress: (progress) => this.progress.push(progress),
      onPointOfNoReturn: async () => {
        this.pointsOfNoReturn += 1;
      },
    });
  }

  async migrate(driver: MigrationDriver): Promise<ConfirmReport> {
    const prepared = await this.prepare(driver);
    await this.perform(driver, prepared);
    return driver.confirm(prepared, { signal: this.signal });
  }

  assertOneAt(end: 'source' | 'destination'): void {
    assert.deepEqual(this.world.runningCopies(), { source: end === 'source', destination: end === 'destination' });
    assert.equal(this.world.maxRunningCopies(), 1, 'never two copies at one instant');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.world[Symbol.asyncDispose]();
  }
}

/** Whether the value is JSON and nothing else. */
function assertJson(value: unknown): void {
  assert.deepEqual(JSON.parse(JSON.stringify(value)), value);
}

export function describePlugin<Config, Options>(name: string, subject: ComplianceSubject<Config, Options>): void {
  const { plugin } = subject;
  const rehearse = (body: (rehearsal: Rehearsal<Config, Options>) => Promise<void>) => async (): Promise<void> => {
    await using rehearsal = await Rehearsal.make(subject);
    await body(rehearsal);
  };

  describe(`${name} complies: the value`, () => {
    test('has a name, the API version, and schemas that can be shown', () => {
      assert.match(plugin.name, /^[a-z][a-z0-9-]*$/);
      assert.equal(plugin.apiVersion, PLUGIN_API_VERSION);
      assert.equal(z.toJSONSchema(plugin.configSchema).type, 'object');
      assert.ok(plugin.optionsSchema.safeParse({}).success, 'every option has a default');
      assert.ok(!plugin.optionsSchema.safeParse({ noSuchOption: 1 }).success, 'unknown options are refused');
    });

    test('refuses sessions that are not its own', () => {
      const foreign = { closed: new AbortController().signal } as EndpointSession;
      const context = { log, recordIntent: async () => undefined, assertCurrent: async () => undefined };
      assert.throws(() => plugin.migration({ source: foreign, destination: foreign }, {} as never, context));
    });
  });

  describe(`${name} complies: the endpoint`, () => {
    test(
      'finds the VM by id and by name, shows it in the inventory, and says VM_NOT_FOUND for any other',
      rehearse(async ({ world, signal }) => {
        const { source, destination } = await world.connect();
        const byId = await source.findVm(world.vm.id, { signal });
        assert.equal(byId.presence, 'running');
        assert.deepEqual(await source.findVm(world.vm.name, { signal }), byId);
        const { host, vms } = await source.inventory({ signal });
        assert.ok(host.cpus > 0 && host.memoryBytes > 0);
        assert.ok(vms.some(({ id }) => id === world.vm.id));
        await assert.rejects(destination.findVm(world.vm.id, { signal }), { code: 'VM_NOT_FOUND' });
        await source.close();
        await source.close();
        await destination.close();
      }),
    );
  });

  describe(`${name} complies: the places of an endpoint`, () => {
    test(
      'hosts and storage, where it tells them, have names or ids of their own, numbers that can be, and hosts that are there',
      rehearse(async ({ world, signal }) => {
        const { source, destination } = await world.connect();
        for (const session of [source, destination]) assertPlaces(await session.inventory({ signal }));
        const { hosts = [] } = await source.inventory({ signal });
        const { host } = await source.findVm(world.vm.id, { signal });
        if (hosts.length > 1) assert.ok(host !== undefined, 'of several hosts it says which one runs a VM');
        await source.close();
        await destination.close();
      }),
    );

    test('an option that names a place says of which kind', () => {
      const { properties = {} } = z.toJSONSchema(plugin.optionsSchema, { io: 'input', unrepresentable: 'any' });
      const kinds = Object.values(properties).flatMap((option) => (Object(option) as { names?: unknown }).names ?? []);
      assert.ok(kinds.every((kind) => kind === 'host' || kind === 'storage'));
    });
  });

  describe(`${name} complies: how busy an endpoint is`, () => {
    test(
      'load tells what the host and its running VMs use, by the ids of the inventory, and null for what is not known',
      rehearse(async ({ world, signal }) => {
        const { source, destination } = await world.connect();
        if (source.load === undefined) {
          // Such an endpoint is not balanced.
          await source.close();
          await destination.close();
          return;
        }
        const { host, vms } = await source.inventory({ signal });
        const { intervalMs, host: used, vms: loads } = await source.load({ signal, intervalMs: 200 });
        assert.ok(intervalMs > 0);
        const quantity = (value: number | null, most: number, what: string) =>
          assert.ok(value === null || (Number.isFinite(value) && value >= 0 && value <= most), `${what}: ${value}`);
        quantity(used.cpuCores, host.cpus * 1.1, 'cores of the host'); // two clocks never agree quite
        const load = loads.find(({ id }) => id === world.vm.id);
        assert.ok(load !== undefined, 'the running VM is in it');
        const summary = vms.find(({ id }) => id === world.vm.id);
        quantity(load.cpuCores, host.cpus * 1.1, 'cores of the VM');
        quantity(load.memoryBytes, summary?.memoryBytes ?? 0, 'memory of the VM');
        quantity(load.networkBytesPerSec, Number.MAX_SAFE_INTEGER, 'network of the VM');
        quantity(load.dirtyRateBytesPerSec, Number.MAX_SAFE_INTEGER, 'dirty rate of the VM');
        assert.ok(
          loads.every(({ id }) => vms.some((vm) => vm.id === id)),
          'nobody else is in it',
        );
        const elsewhere = await destination.load?.({ signal, intervalMs: 200 });
        assert.equal(elsewhere?.vms.some(({ id }) => id === world.vm.id) ?? false, false);
        await assert.rejects(source.load({ signal: AbortSignal.abort(new Error('enough')), intervalMs: 60_000 }));
        await source.close();
        await destination.close();
      }),
    );
  });

  describe(`${name} complies: a migration`, () => {
    test(
      'check has no side effects and finds nothing to stop this one',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        const { findings, memoryBytes } = await driver.check({ signal: rehearsal.signal });
        assert.deepEqual(
          findings.filter(({ severity }) => severity === 'blocker'),
          [],
        );
        assert.ok(memoryBytes > 0);
        assert.deepEqual(rehearsal.journal, []);
        rehearsal.assertOneAt('source');
      }),
    );

    test(
      'whoever can do post-copy can also take a broken one up again',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        assert.equal(driver.recoverPostCopy !== undefined, plugin.capabilities.postCopy);
      }),
    );

    test(
      'check → prepare → perform → confirm brings the VM to the destination',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        const { signal } = rehearsal;
        assert.equal((await driver.locate({ signal })).where, 'source');
        const prepared = await rehearsal.prepare(driver);
        assertJson(prepared);
        assert.equal(new Set(prepared.flows.map(({ id }) => id)).size, prepared.flows.length, 'flow ids are unique');
        for (const flow of prepared.flows) assert.ok(flow.port > 0 && flow.port < 65_536 && flow.maxStreams > 0);
        assert.equal((await driver.locate({ signal })).where, 'source');
        await rehearsal.perform(driver, prepared);
        assert.equal(rehearsal.pointsOfNoReturn, 1);
        const report = await driver.confirm(prepared, { signal });
        assertJson(report);
        const { keptAtSource, sourceDefinition } = report;
        // What was promised for a source that never answers again is what the report says of one that does.
        const { warnings: _, ...foretold } = prepared.atSource ?? { keptAtSource, sourceDefinition };
        assert.deepEqual(foretold, { keptAtSource, sourceDefinition });
        const { where, moving } = await driver.locate({ signal });
        assert.deepEqual({ where, moving }, { where: 'destination', moving: false });
        rehearsal.assertOneAt('destination');
        const percents = rehearsal.progress.map(({ percent }) => percent);
        assert.deepEqual(
          percents,
          percents.toSorted((a, b) => a - b),
          'progress never falls',
        );
        assert.ok(percents.every((percent) => percent >= 0 && percent <= 100));
      }),
    );

    test(
      'confirm and abort are idempotent after the arrival, and abort leaves the VM where it is',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const driver = await rehearsal.driver();
        await rehearsal.migrate(driver);
        assert.ok(rehearsal.prepared !== undefined);
        await driver.confirm(rehearsal.prepared, { signal });
        assert.equal((await driver.abort({ signal })).where, 'destination');
        const other = await rehearsal.driver();
        await other.confirm(rehearsal.prepared, { signal });
        assert.equal((await other.abort({ signal })).where, 'destination');
        rehearsal.assertOneAt('destination');
      }),
    );

    test(
      'abort before, after prepare, and twice, leaves the VM at the source',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const idle = await rehearsal.driver();
        assert.equal((await idle.abort({ signal })).where, 'source');
        const driver = await rehearsal.driver();
        await rehearsal.prepare(driver);
        for (let time = 0; time < 2; time += 1) {
          const { source, where } = await driver.abort({ signal });
          assert.deepEqual({ source, where }, { source: 'running', where: 'source' });
        }
        rehearsal.assertOneAt('source');
        const again = await rehearsal.driver();
        await rehearsal.migrate(again);
        rehearsal.assertOneAt('destination');
      }),
    );

    test(
      'a cancel while data flows rejects with ABORTED, and abort leaves the VM at the source',
      rehearse(async (rehearsal) => {
        const mind = new AbortController();
        rehearsal.world.whilePerforming(() => mind.abort());
        const driver = await rehearsal.driver();
        const prepared = await rehearsal.prepare(driver);
        const performing = rehearsal.perform(driver, prepared, AbortSignal.any([mind.signal, rehearsal.signal]));
        await assert.rejects(performing, { code: 'ABORTED' });
        assert.equal(rehearsal.pointsOfNoReturn, 0);
        assert.equal((await driver.abort({ signal: rehearsal.signal })).where, 'source');
        rehearsal.assertOneAt('source');
      }),
    );

    test(
      'a superseded run has no effect',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        rehearsal.current = false;
        await assert.rejects(driver.prepare({ signal: rehearsal.signal }), { code: 'SUPERSEDED' });
        rehearsal.assertOneAt('source');
      }),
    );

    test(
      'what was journalled is released, twice, and released again after it is gone',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const driver = await rehearsal.driver();
        await rehearsal.prepare(driver);
        await driver.abort({ signal });
        for (let time = 0; time < 2; time += 1) {
          for (const resource of rehearsal.journal.toReversed()) await driver.release(resource, { signal });
        }
        rehearsal.assertOneAt('source');
      }),
    );
  });

  describe(`${name} complies: recovery without memory`, () => {
    test(
      'killed after prepare: a new run brings the VM back to the source alone',
      rehearse(async (rehearsal) => {
        await rehearsal.prepare(await rehearsal.driver());
        rehearsal.world.killOrchestrator();
        const driver = await rehearsal.driver();
        const placement = await driver.abort({ signal: rehearsal.signal });
        assert.deepEqual([placement.where, placement.moving], ['source', false]);
        rehearsal.assertOneAt('source');
      }),
    );

    test(
      'killed after perform: a new run brings the VM to exactly one end',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const old = await rehearsal.driver();
        const prepared = await rehearsal.prepare(old);
        await rehearsal.perform(old, prepared);
        rehearsal.world.killOrchestrator();
        const driver = await rehearsal.driver();
        const { where } = await driver.abort({ signal });
        if (where === 'destination') await driver.confirm(prepared, { signal });
        assert.ok(where === 'source' || where === 'destination');
        rehearsal.assertOneAt(where);
      }),
    );

    test(
      'killed while data flows: a new run brings the VM to exactly one end',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const { promise: flowing, resolve } = Promise.withResolvers<void>();
        rehearsal.world.whilePerforming(resolve);
        const old = await rehearsal.driver();
        const prepared = await rehearsal.prepare(old);
        const performing = assert.rejects(rehearsal.perform(old, prepared));
        await flowing;
        rehearsal.world.killOrchestrator();
        const driver = await rehearsal.driver();
        const { where } = await driver.abort({ signal });
        if (where === 'destination') await driver.confirm(prepared, { signal });
        assert.ok(where === 'source' || where === 'destination');
        rehearsal.assertOneAt(where);
        await performing;
      }),
    );

    test(
      'killed after confirm: a new run finds the VM at the destination and changes nothing',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        await rehearsal.migrate(await rehearsal.driver());
        rehearsal.world.killOrchestrator();
        const driver = await rehearsal.driver();
        assert.equal((await driver.locate({ signal })).where, 'destination');
        assert.ok(rehearsal.prepared !== undefined);
        await driver.confirm(rehearsal.prepared, { signal });
        rehearsal.assertOneAt('destination');
      }),
    );
  });

  describe(`${name} complies: an end that is silent`, () => {
    test(
      'locate says unreachable and unknown, and never throws',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        rehearsal.world.setDestinationReachable(false);
        const { destination, where } = await driver.locate({ signal: rehearsal.signal });
        assert.deepEqual({ destination, where }, { destination: 'unreachable', where: 'unknown' });
        rehearsal.world.setDestinationReachable(true);
      }),
    );

    test(
      'a destination that is lost after perform: nothing is resumed, and confirm does not claim anything',
      rehearse(async (rehearsal) => {
        const { signal } = rehearsal;
        const driver = await rehearsal.driver();
        const prepared = await rehearsal.prepare(driver);
        await rehearsal.perform(driver, prepared);
        rehearsal.world.setDestinationReachable(false);
        await assert.rejects(driver.confirm(prepared, { signal }), (error) => {
          return ['OUTCOME_UNKNOWN', 'CONNECTION_LOST', 'UNREACHABLE'].includes(pluginErrorCode(error) ?? '');
        });
        assert.equal((await driver.abort({ signal })).where, 'unknown');
        assert.equal(rehearsal.world.runningCopies().source, false, 'silence is no answer');
        rehearsal.world.setDestinationReachable(true);
        const next = await rehearsal.driver();
        const { where } = await next.abort({ signal });
        if (where === 'destination') await next.confirm(prepared, { signal });
        assert.ok(where === 'source' || where === 'destination');
        rehearsal.assertOneAt(where);
      }),
    );
  });
}
