/**
 * The definition of how a plugin moves VMs that are powered off: one suite that every plugin with `capabilities.movesPoweredOff` has to
 * pass. An implementation brings a `RelocationWorld` (two endpoints, a VM that is off at the source, and a few hands to break things with)
 * and calls `describeRelocations`.
 *
 * Every test makes a world of its own, and looks after each step, and after each crash, whether one definition can be started at most and
 * one is there at least.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type EndpointSession,
  type HypervisorPlugin,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  pluginErrorCode,
  type RelocationDriver,
  type RelocationRequest,
  type Routes,
  type VmRef,
} from '@lmas/plugin-api';

/** What one end has of the VM, asked of the hypervisor and not of the plugin. */
export type Definition = 'absent' | 'startable' | 'held';

export interface RelocationWorld extends AsyncDisposable {
  /** A VM that is powered off at the source, and starts with its host. */
  readonly vm: VmRef;
  /** Where disks go that have to be copied to another place; none without it. */
  readonly diskMap?: Readonly<Record<string, string>>;
  /** Sessions to the two ends, anew each time. The suite closes them. */
  connect(): Promise<{ source: EndpointSession; destination: EndpointSession }>;
  definitions(): Promise<{ readonly source: Definition; readonly destination: Definition }>;
  /** What the VM is at the source, whole: what would change if it were redefined, or set not to start with its host. */
  fingerprint(): Promise<string>;
  /** Whether the VM starts with its host, at the end that has it. */
  startsWithHost(): Promise<boolean>;
  /** What relocations have made at both ends that belongs to no VM, by name. */
  leftovers(): Promise<readonly string[]>;
  /** Somebody starts it at the source. */
  startAtSource(): void;
  /** Somebody else defines it at the destination. */
  defineAtDestination(): void;
  /** As SIGKILL of the orchestrator: every connection of it is gone, and nothing it still wants is done. */
  killOrchestrator(): void;
  /** Takes the destination's control point away, or gives it back. */
  setDestinationReachable(reachable: boolean): void;
}

export interface RelocationSubject<Config, Options> {
  readonly plugin: HypervisorPlugin<Config, Options>;
  /** Parsed; by default what `optionsSchema` makes of `{}`. */
  readonly options?: Options;
  makeWorld(): Promise<RelocationWorld>;
}

const TIMEOUT_MS = 120_000;
const RELOCATION = 'm_00000000-0000-4000-8000-00000000c01d';
const OTHER = 'm_ffffffff-0000-4000-8000-00000000c01d';
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/** What the orchestrator does with a relocation, in short. */
class Errand<Config, Options> implements AsyncDisposable {
  readonly signal = AbortSignal.timeout(TIMEOUT_MS);
  readonly world: RelocationWorld;
  readonly journal: PluginResource[] = [];
  readonly fingerprint: string;
  readonly #subject: RelocationSubject<Config, Options>;
  readonly #sessions: EndpointSession[] = [];
  prepared: Prepared | undefined;
  isCopied = false;
  /** How many side effects may still be begun before the run is superseded. */
  effects = Number.POSITIVE_INFINITY;
  /** How many intents can be written before the journal is lost. */
  intents = Number.POSITIVE_INFINITY;

  private constructor(subject: RelocationSubject<Config, Options>, world: RelocationWorld, fingerprint: string) {
    this.#subject = subject;
    this.world = world;
    this.fingerprint = fingerprint;
  }

  static async make<C, O>(subject: RelocationSubject<C, O>): Promise<Errand<C, O>> {
    const world = await subject.makeWorld();
    return new Errand(subject, world, await world.fingerprint());
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
        await this.assertSound();
        this.effects -= 1;
        if (this.effects < 0) throw new PluginError('SUPERSEDED', 'another run has taken over');
      },
    };
  }

  /** A driver as a new process would make it. */
  async driver(changes: Partial<RelocationRequest<Options>> = {}): Promise<RelocationDriver> {
    const { plugin, options } = this.#subject;
    const ends = await this.world.connect();
    this.#sessions.push(ends.source, ends.destination);
    const request: RelocationRequest<Options> = {
      ...{ migrationId: RELOCATION, vm: this.world.vm, networkMap: {} },
      diskMap: this.world.diskMap ?? {},
      options: options ?? plugin.optionsSchema.parse({}),
      ...{ bandwidthBytesPerSec: null, tunnelled: false },
      ...changes,
    };
    assert.ok(plugin.relocation !== undefined, 'the plugin moves VMs that are off');
    return plugin.relocation(ends, request, this.context);
  }

  async prepare(driver: RelocationDriver): Promise<Prepared> {
    const prepared = await driver.prepare({ signal: this.signal });
    this.prepared = JSON.parse(JSON.stringify(prepared)) as Prepared;
    assert.deepEqual(this.prepared, prepared, 'it is JSON and nothing else');
    return this.prepared;
  }

  async copy(driver: RelocationDriver, prepared: Prepared, signal: AbortSignal = this.signal): Promise<void> {
    const routes: Routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
    const percents: number[] = [];
    const onProgress = ({ percent }: MigrationProgress) => void percents.push(percent);
    await driver.copy(prepared, routes, { signal, onProgress });
    this.isCopied = true;
    assert.deepEqual(
      percents,
      percents.toSorted((a, b) => a - b),
      'progress never falls',
    );
  }

  async move(driver: RelocationDriver) {
    const prepared = await this.prepare(driver);
    await this.copy(driver, prepared);
    return await driver.place(prepared, { signal: this.signal });
  }

  /** Newest first: everything, or once the VM has arrived what served the move alone. */
  async release(driver: RelocationDriver, { arrived = false } = {}): Promise<void> {
    for (const resource of this.journal.toReversed()) {
      if (!arrived || resource.lifetime === 'migration') await driver.release(resource, { signal: this.signal });
    }
  }

  async assertSound(): Promise<void> {
    const { source, destination } = await this.world.definitions();
    assert.ok(source !== 'absent' || destination !== 'absent', 'one is there at least');
    assert.ok(source !== 'startable' || destination !== 'startable', 'never two that can be started');
    assert.notEqual(source, 'held', 'the one at the source is nobody’s to hold');
  }

  async assertUndone(): Promise<void> {
    assert.deepEqual(await this.world.definitions(), { source: 'startable', destination: 'absent' });
    assert.equal(await this.world.fingerprint(), this.fingerprint, 'the VM is as it was');
    assert.deepEqual(await this.world.leftovers(), []);
  }

  async assertArrived(): Promise<void> {
    assert.deepEqual(await this.world.definitions(), { source: 'absent', destination: 'startable' });
    assert.equal(await this.world.startsWithHost(), true, 'it starts with its host, as it did');
    assert.deepEqual(await this.world.leftovers(), []);
  }

  /** Nobody else had a hand in it: the run was merely interrupted. */
  renew(): void {
    this.effects = Number.POSITIVE_INFINITY;
    this.intents = Number.POSITIVE_INFINITY;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.#sessions) await session.close();
    await this.world[Symbol.asyncDispose]();
  }
}

export function describeRelocations<Config, Options>(name: string, subject: RelocationSubject<Config, Options>): void {
  const { plugin } = subject;
  type Own = Errand<Config, Options>;
  const run = (body: (errand: Own) => Promise<void>) => async () => {
    await using errand = await Errand.make(subject);
    await body(errand);
  };
  const blockers = async (errand: Own, driver: RelocationDriver): Promise<string[]> => {
    const { findings } = await driver.check({ signal: errand.signal });
    return findings.filter(({ severity }) => severity === 'blocker').map(({ code }) => code);
  };

  describe(`${name} complies: a VM that is powered off`, () => {
    test('is moved by a plugin that announces it, between its own sessions', () => {
      assert.equal(plugin.capabilities.movesPoweredOff, true);
      const foreign = { closed: new AbortController().signal } as EndpointSession;
      const context = { log, recordIntent: async () => undefined, assertCurrent: async () => undefined };
      assert.throws(() => plugin.relocation?.({ source: foreign, destination: foreign }, {} as never, context));
    });

    test(
      'is checked without side effects, and nothing stops this one',
      run(async (errand) => {
        const driver = await errand.driver();
        assert.deepEqual(await blockers(errand, driver), []);
        assert.deepEqual(errand.journal, []);
        await errand.assertUndone();
      }),
    );

    test(
      'is at the destination alone in the end, still off; everything that is repeated then changes nothing',
      run(async (errand) => {
        const { signal, world } = errand;
        const driver = await errand.driver();
        assert.equal((await driver.locate({ signal })).where, 'source');
        await errand.move(driver);
        for (let time = 0; time < 2; time += 1) {
          const again = await errand.driver();
          const { source, destination, where } = await again.locate({ signal });
          assert.deepEqual([source, destination, where], ['absent', 'stopped', 'destination']);
          await errand.release(again, { arrived: true });
          assert.ok(errand.prepared !== undefined);
          await again.place(errand.prepared, { signal });
          await errand.assertArrived();
        }
        const { destination } = await world.connect();
        assert.equal((await destination.findVm(world.vm.id, { signal })).presence, 'stopped');
        await destination.close();
      }),
    );

    test(
      'stays as it was when what was prepared and copied is undone, however often',
      run(async (errand) => {
        const driver = await errand.driver();
        await errand.copy(driver, await errand.prepare(driver));
        for (let time = 0; time < 2; time += 1) await errand.release(await errand.driver());
        await errand.assertUndone();
      }),
    );

    test(
      'is not moved once it runs: the check says so, and prepare refuses without an effect',
      run(async (errand) => {
        errand.world.startAtSource();
        const driver = await errand.driver();
        assert.notDeepEqual(await blockers(errand, driver), []);
        await assert.rejects(driver.prepare({ signal: errand.signal }), { code: 'NOT_MIGRATABLE' });
        await errand.release(driver);
        assert.deepEqual(await errand.world.leftovers(), []);
        assert.deepEqual(await errand.world.definitions(), { source: 'startable', destination: 'absent' });
      }),
    );

    test(
      'stays when somebody starts it before it is placed, and everything is undone',
      run(async (errand) => {
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        await errand.copy(driver, prepared);
        errand.world.startAtSource();
        await assert.rejects(driver.place(prepared, { signal: errand.signal }), { code: 'NOT_MIGRATABLE' });
        const { source, where } = await driver.locate({ signal: errand.signal });
        assert.deepEqual([source, where], ['running', 'source']);
        await errand.release(await errand.driver());
        assert.deepEqual(await errand.world.definitions(), { source: 'startable', destination: 'absent' });
        assert.equal(await errand.world.startsWithHost(), true);
        assert.deepEqual(await errand.world.leftovers(), []);
      }),
    );

    test(
      'that somebody else has defined at the destination is told as being at both, and neither is touched',
      run(async (errand) => {
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        await errand.copy(driver, prepared);
        errand.world.defineAtDestination();
        await assert.rejects(driver.place(prepared, { signal: errand.signal }));
        assert.equal((await driver.locate({ signal: errand.signal })).where, 'both');
        assert.deepEqual(await errand.world.definitions(), { source: 'startable', destination: 'startable' });
      }),
    );

    test(
      'is not released by another relocation, nor taken from it',
      run(async (errand) => {
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        await errand.copy(driver, prepared);
        const other = await errand.driver({ migrationId: OTHER });
        await errand.release(other).catch(() => undefined); // it may refuse, or leave it alone
        await driver.place(prepared, { signal: errand.signal });
        await errand.release(driver, { arrived: true });
        await errand.assertArrived();
      }),
    );
  });

  /** The k-th side effect does not come any more; a later run goes on, or undoes it. */
  const interrupted = (limit: 'effects' | 'intents', goOn: boolean) => async () => {
    for (let count = 0; ; count += 1) {
      await using errand = await Errand.make(subject);
      errand[limit] = count;
      const isWhole = await errand.move(await errand.driver()).then(
        () => true,
        () => false,
      );
      await errand.assertSound();
      errand.world.killOrchestrator();
      errand.renew();
      await recover(errand, goOn);
      if (isWhole) return;
    }
  };

  const recover = async (errand: Own, goOn: boolean): Promise<void> => {
    const { signal } = errand;
    const driver = await errand.driver();
    const { where } = await driver.locate({ signal });
    assert.ok(where === 'source' || where === 'destination', where);
    if (where === 'destination' || (goOn && errand.isCopied)) {
      const { prepared } = errand;
      assert.ok(prepared !== undefined);
      await driver.place(prepared, { signal });
      await errand.release(await errand.driver(), { arrived: true });
      await errand.assertArrived();
    } else {
      await errand.release(driver);
      await errand.release(await errand.driver());
      await errand.assertUndone();
    }
  };

  describe(`${name} complies: a relocation that is interrupted`, () => {
    test(
      'before any of its side effects is undone, or finished where the source has let go',
      interrupted('effects', false),
    );
    test('before any of its side effects is gone on with', interrupted('effects', true));
    test('at any entry of its journal leaves nothing that the journal does not name', interrupted('intents', false));

    test(
      'once the source has let go is finished: whatever is released by then, what the destination holds stays',
      run(async (errand) => {
        const { signal } = errand;
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        await errand.copy(driver, prepared);
        const isHeldAlone = async () => {
          const { source, destination } = await errand.world.definitions();
          return source === 'absent' && destination === 'held';
        };
        for (let effects = 0; !(await isHeldAlone()); effects += 1) {
          errand.effects = effects;
          await assert.rejects(driver.place(prepared, { signal }), { code: 'SUPERSEDED' });
        }
        errand.world.killOrchestrator();
        errand.renew();
        const later = await errand.driver();
        const refusals: unknown[] = [];
        for (const resource of errand.journal.toReversed())
          await later.release(resource, { signal }).catch((error: unknown) => refusals.push(pluginErrorCode(error)));
        assert.ok(refusals.includes('BUSY'), String(refusals));
        assert.ok(await isHeldAlone());
        const report = await (await errand.driver()).place(prepared, { signal });
        assert.equal(report.sourceDefinition, prepared.atSource?.sourceDefinition ?? null, 'as it was before');
        await errand.assertArrived();
      }),
    );

    test(
      'by a cancel rejects with ABORTED while something is copied, and is undone',
      run(async (errand) => {
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        if (prepared.flows.length > 0)
          await assert.rejects(errand.copy(driver, prepared, AbortSignal.abort(new PluginError('ABORTED', 'enough'))), {
            code: 'ABORTED',
          });
        await errand.release(driver);
        await errand.assertUndone();
      }),
    );

    test(
      'by a destination that is silent is still at the source, which is released alone; the rest when that is back',
      run(async (errand) => {
        const { world, signal } = errand;
        const driver = await errand.driver();
        const prepared = await errand.prepare(driver);
        await errand.copy(driver, prepared);
        world.setDestinationReachable(false);
        await assert.rejects(driver.place(prepared, { signal }));
        const { destination, where } = await driver.locate({ signal });
        assert.deepEqual([destination, where], ['unreachable', 'source']);
        for (const resource of errand.journal.filter(({ end }) => end === 'destination'))
          await assert.rejects(driver.release(resource, { signal }));
        for (const resource of errand.journal.filter(({ end }) => end === 'source'))
          await driver.release(resource, { signal });
        world.setDestinationReachable(true);
        await errand.release(await errand.driver());
        await errand.assertUndone();
      }),
    );
  });
}
