/**
 * The definition of a plugin's drills: one suite that every plugin with `capabilities.drills` has to pass. An implementation brings a
 * `DrillWorld` (two endpoints, a VM that runs at the source, and a few hands to break things with) and calls `describeDrills`.
 *
 * Every test makes a world of its own and disposes of it, and ends with the same three looks: the VM runs on as it was, nothing of
 * the drill is left, and no copy was ever where it must not be.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type DrillCopy,
  type DrillDriver,
  type DrillRequest,
  type EndpointSession,
  type HypervisorPlugin,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
  type VmRef,
} from '@lmas/plugin-api';

export interface DrillWorld extends AsyncDisposable {
  /** A VM with a disk that runs at the source; the destination has room for a copy of it. */
  readonly vm: VmRef;
  /** Each network of the VM → an isolated one of the destination. */
  readonly networkMap: Readonly<Record<string, string>>;
  /** Sessions to the two ends, anew each time. The suite closes them. */
  connect(): Promise<{ source: EndpointSession; destination: EndpointSession }>;
  /** What would change if the VM were paused, restarted, moved or redefined; asked of the hypervisor and not of the plugin. */
  fingerprint(): Promise<string>;
  /** Copies that execute at the destination now, and the networks that their NICs have a link to. Asked likewise. */
  copies(): Promise<readonly (VmRef & { readonly networks: readonly string[] })[]>;
  /** What is left of drills at both ends, whatever it is, by name. */
  leftovers(): Promise<readonly string[]>;
  /** As SIGKILL of the orchestrator: every connection of it is gone, and nothing it still wants is done. */
  killOrchestrator(): void;
  /** Takes the destination's control point away, or gives it back. */
  setDestinationReachable(reachable: boolean): void;
  /** Runs `action` once, at the moment at which the disks cross. They do not arrive before it has been called. */
  whileCopying(action: () => void): void;
}

export interface DrillSubject<Config, Options> {
  readonly plugin: HypervisorPlugin<Config, Options>;
  /** Parsed; by default what `optionsSchema` makes of `{}`. */
  readonly options?: Options;
  makeWorld(): Promise<DrillWorld>;
}

const TIMEOUT_MS = 120_000;
const DRILL = 'm_00000000-0000-4000-8000-00000000d811';
const OTHER_DRILL = 'm_ffffffff-0000-4000-8000-00000000d811';
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** What the orchestrator does with a drill, in short. */
class DrillRehearsal<Config, Options> implements AsyncDisposable {
  readonly signal = AbortSignal.timeout(TIMEOUT_MS);
  readonly world: DrillWorld;
  readonly journal: PluginResource[] = [];
  readonly progress: MigrationProgress[] = [];
  readonly #subject: DrillSubject<Config, Options>;
  readonly #sessions: EndpointSession[] = [];
  readonly #fingerprint: string;
  prepared: Prepared | undefined;
  current = true;
  /** How many intents can be written before the journal is lost. */
  intents = Number.POSITIVE_INFINITY;

  private constructor(subject: DrillSubject<Config, Options>, world: DrillWorld, fingerprint: string) {
    this.#subject = subject;
    this.world = world;
    this.#fingerprint = fingerprint;
  }

  static async make<C, O>(subject: DrillSubject<C, O>): Promise<DrillRehearsal<C, O>> {
    const world = await subject.makeWorld();
    return new DrillRehearsal(subject, world, await world.fingerprint());
  }

  async ends(): Promise<{ source: EndpointSession; destination: EndpointSession }> {
    const ends = await this.world.connect();
    this.#sessions.push(ends.source, ends.destination);
    return ends;
  }

  get context(): MigrationContext {
    return {
      log,
      recordIntent: async (resource) => {
        if (this.journal.length >= this.intents) throw new PluginError('SUPERSEDED', 'the journal is lost');
        // What crosses the journal is JSON: it has to survive it.
        this.journal.push(JSON.parse(JSON.stringify(resource)) as PluginResource);
      },
      assertCurrent: async () => {
        if (!this.current) throw new PluginError('SUPERSEDED', 'another run has taken over');
      },
    };
  }

  /** A driver as a new process would make it. */
  async driver(changes: Partial<DrillRequest<Options>> = {}): Promise<DrillDriver> {
    const { plugin, options } = this.#subject;
    const request: DrillRequest<Options> = {
      migrationId: DRILL,
      vm: this.world.vm,
      options: options ?? plugin.optionsSchema.parse({}),
      networkMap: this.world.networkMap,
      diskMap: {},
      bandwidthBytesPerSec: null,
      tunnelled: false,
      ...changes,
    };
    assert.ok(plugin.drill !== undefined, 'the plugin has drills');
    return plugin.drill(await this.ends(), request, this.context);
  }

  async prepare(driver: DrillDriver): Promise<Prepared> {
    const prepared = await driver.prepare({ signal: this.signal });
    this.prepared = JSON.parse(JSON.stringify(prepared)) as Prepared;
    assert.deepEqual(this.prepared, prepared, 'it is JSON and nothing else');
    return this.prepared;
  }

  copy(driver: DrillDriver, prepared: Prepared, signal: AbortSignal = this.signal): Promise<void> {
    const routes: Routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
    return driver.copy(prepared, routes, { signal, onProgress: (progress) => this.progress.push(progress) });
  }

  /** All the way, as the workflow goes it: what was made at the source is released before the copy is started. */
  async start(driver: DrillDriver): Promise<DrillCopy> {
    const prepared = await this.prepare(driver);
    await this.copy(driver, prepared);
    await this.release(driver, 'source');
    return await driver.start(prepared, { signal: this.signal });
  }

  /** Newest first: of one end, or all. */
  async release(driver: DrillDriver, end?: PluginResource['end']): Promise<void> {
    for (const resource of this.journal.toReversed()) {
      if (end === undefined || resource.end === end) await driver.release(resource, { signal: this.signal });
    }
  }

  async assertUntouched(): Promise<void> {
    assert.equal(await this.world.fingerprint(), this.#fingerprint, 'the VM runs on as it was');
  }

  async assertUndone(): Promise<void> {
    await this.assertUntouched();
    assert.deepEqual(await this.world.copies(), []);
    assert.deepEqual(await this.world.leftovers(), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.world[Symbol.asyncDispose]();
  }
}

export function describeDrills<Config, Options>(name: string, subject: DrillSubject<Config, Options>): void {
  const { plugin } = subject;
  const rehearse = (body: (rehearsal: DrillRehearsal<Config, Options>) => Promise<void>) => async () => {
    await using rehearsal = await DrillRehearsal.make(subject);
    await body(rehearsal);
  };

  describe(`${name} complies: a drill`, () => {
    test('is announced, and refuses sessions that are not the plugin’s own', () => {
      assert.equal(plugin.capabilities.drills, true);
      const foreign = { closed: new AbortController().signal } as EndpointSession;
      const context = { log, recordIntent: async () => undefined, assertCurrent: async () => undefined };
      assert.throws(() => plugin.drill?.({ source: foreign, destination: foreign }, {} as never, context));
    });

    test(
      'check has no side effects, and finds nothing to stop this one',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        const { findings, diskBytes } = await driver.check({ signal: rehearsal.signal });
        assert.deepEqual(
          findings.filter(({ severity }) => severity === 'blocker'),
          [],
        );
        assert.ok(diskBytes > 0);
        assert.deepEqual(rehearsal.journal, []);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'a copy comes up beside the VM, on isolated networks only, and is undone without a trace, however often',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        const driver = await rehearsal.driver();
        assert.equal(await driver.isRunning({ signal }), false);
        const { vm, networks, disks, startedAt } = await rehearsal.start(driver);
        assert.equal(await driver.isRunning({ signal }), true);
        assert.notEqual(vm.id, world.vm.id);
        assert.ok(vm.name.startsWith(`${world.vm.name}-drill-`), vm.name);
        assert.ok(disks.length > 0);
        assert.ok(Number.isFinite(Date.parse(startedAt)));
        assert.deepEqual(new Set(networks), new Set(Object.values(world.networkMap)));
        const [copy, ...others] = await world.copies();
        assert.deepEqual([copy?.id, copy?.name, others], [vm.id, vm.name, []]);
        assert.deepEqual(new Set(copy?.networks), new Set(networks));
        await rehearsal.assertUntouched();
        const percents = rehearsal.progress.map(({ percent }) => percent);
        assert.deepEqual(
          percents,
          percents.toSorted((a, b) => a - b),
          'progress never falls',
        );
        for (let time = 0; time < 2; time += 1) await rehearsal.release(await rehearsal.driver());
        assert.equal(await driver.isRunning({ signal }), false);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'a network that is not named is not connected, and the check says so',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver({ networkMap: {} });
        const { findings } = await driver.check({ signal: rehearsal.signal });
        assert.ok(findings.some(({ severity }) => severity === 'warning'));
        assert.deepEqual((await rehearsal.start(driver)).networks, []);
        assert.deepEqual(
          (await rehearsal.world.copies()).map(({ networks }) => networks),
          [[]],
        );
        await rehearsal.release(driver);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'once the disks have crossed, nothing of the drill stands in the way of the VM’s own migration',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        await rehearsal.start(driver);
        const request = {
          ...{ migrationId: OTHER_DRILL, vm: rehearsal.world.vm, networkMap: {}, diskMap: {}, tunnelled: false },
          ...({ maxDowntimeMs: null, convergence: 'balanced', bandwidthBytesPerSec: null } as const),
          options: subject.options ?? plugin.optionsSchema.parse({}),
        };
        const migration = plugin.migration(await rehearsal.ends(), request, rehearsal.context);
        const { findings } = await migration.check({ signal: rehearsal.signal });
        assert.deepEqual(
          findings.filter(({ severity }) => severity === 'blocker'),
          [],
        );
        await rehearsal.release(driver);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'release takes nothing that another drill has made',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        const { vm } = await rehearsal.start(driver);
        const other = await rehearsal.driver({ migrationId: OTHER_DRILL });
        const before = await rehearsal.world.leftovers();
        await rehearsal.release(other).catch(() => undefined); // it may refuse, or leave it alone
        assert.deepEqual(
          (await rehearsal.world.copies()).map(({ id }) => id),
          [vm.id],
        );
        assert.deepEqual(await rehearsal.world.leftovers(), before);
        await rehearsal.release(driver);
        await rehearsal.assertUndone();
      }),
    );
  });

  describe(`${name} complies: a drill that goes wrong`, () => {
    test(
      'a cancel while the disks cross rejects with ABORTED, and what was journalled undoes it',
      rehearse(async (rehearsal) => {
        const mind = new AbortController();
        rehearsal.world.whileCopying(() => mind.abort());
        const driver = await rehearsal.driver();
        const prepared = await rehearsal.prepare(driver);
        const copying = rehearsal.copy(driver, prepared, AbortSignal.any([mind.signal, rehearsal.signal]));
        await assert.rejects(copying, { code: 'ABORTED' });
        await rehearsal.release(driver);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'a superseded run has no effect',
      rehearse(async (rehearsal) => {
        const driver = await rehearsal.driver();
        rehearsal.current = false;
        await assert.rejects(driver.prepare({ signal: rehearsal.signal }), { code: 'SUPERSEDED' });
        await rehearsal.assertUntouched();
        rehearsal.current = true;
        await rehearsal.release(driver);
        await rehearsal.assertUndone();
      }),
    );

    test(
      'whatever is made was journalled before: a journal that is lost at any entry leaves nothing that it does not name',
      rehearse(async (rehearsal) => {
        for (let intents = 0; ; intents += 1) {
          rehearsal.intents = intents;
          rehearsal.journal.length = 0;
          const driver = await rehearsal.driver();
          const isLost = await rehearsal.start(driver).then(
            () => false,
            () => true,
          );
          await rehearsal.release(await rehearsal.driver());
          await rehearsal.assertUndone();
          if (!isLost) return;
        }
      }),
    );

    test(
      'a destination that is silent keeps what was made there, and the source is released all the same',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        const driver = await rehearsal.driver();
        await rehearsal.prepare(driver);
        world.setDestinationReachable(false);
        for (const resource of rehearsal.journal.filter(({ end }) => end === 'destination')) {
          await assert.rejects(driver.release(resource, { signal }));
        }
        for (const resource of rehearsal.journal.filter(({ end }) => end === 'source')) {
          await driver.release(resource, { signal });
        }
        await rehearsal.assertUntouched();
        world.setDestinationReachable(true);
        await rehearsal.release(await rehearsal.driver());
        await rehearsal.assertUndone();
      }),
    );
  });

  describe(`${name} complies: a drill whose orchestrator was killed`, () => {
    const afterKill = async (rehearsal: DrillRehearsal<Config, Options>, runs: boolean): Promise<void> => {
      rehearsal.world.killOrchestrator();
      const driver = await rehearsal.driver();
      assert.equal(await driver.isRunning({ signal: rehearsal.signal }), runs);
      await rehearsal.release(driver);
      await rehearsal.assertUndone();
    };

    test(
      'after prepare',
      rehearse(async (rehearsal) => {
        await rehearsal.prepare(await rehearsal.driver());
        await afterKill(rehearsal, false);
      }),
    );

    test(
      'while the disks cross',
      rehearse(async (rehearsal) => {
        const { promise: crossing, resolve } = Promise.withResolvers<void>();
        rehearsal.world.whileCopying(resolve);
        const old = await rehearsal.driver();
        const prepared = await rehearsal.prepare(old);
        const copying = assert.rejects(rehearsal.copy(old, prepared));
        await crossing;
        await afterKill(rehearsal, false);
        await copying;
      }),
    );

    test(
      'after the copy was started',
      rehearse(async (rehearsal) => {
        await rehearsal.start(await rehearsal.driver());
        await afterKill(rehearsal, true);
      }),
    );
  });
}
