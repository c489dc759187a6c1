/**
 * An orchestrator as the contract wants it, reduced to what the tests of this plugin need: it migrates the one guest of two
 * scripted hosts, can be killed, and recovers by the rules that the real one follows.
 */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConfirmReport,
  type MigrationContext,
  type MigrationProgress,
  PluginError,
  type PluginResource,
  type Prepared,
  type Routes,
  type VmPlacement,
} from '@lmas/plugin-api';
import { type KvmOptions, optionsSchema } from '../config.ts';
import { KvmMigration } from '../migration/driver.ts';
import { STATE } from '../rpc/constants.ts';
import { KvmSession } from '../session.ts';
import { type FakeHost, FakeWorld } from './fake-libvirt/index.ts';

export const UUID = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const TIMES = {
  ...{ finishSettleMs: 1_500, settleTimeoutMs: 2_000, clearGraceMs: 100, restartGraceMs: 300 },
  recovery: { attempts: 4, intervalMs: 50, timeMs: 20_000, stallMs: 400 },
};
const quiet = { debug: () => undefined, info: () => undefined, error: () => undefined };
/** Disks are shared: only their paths are ever looked at. */
const files = join(tmpdir(), 'lmas-kvm-shared');

/** An orchestrator as the contract wants it, reduced to what matters here. */
export class Orchestrator {
  readonly world = new FakeWorld();
  readonly a: FakeHost;
  readonly b: FakeHost;
  readonly signal = AbortSignal.timeout(30_000);
  readonly options: KvmOptions;
  prepared: Prepared | undefined;
  readonly journal: PluginResource[] = [];
  /** What was warned of in the log. */
  readonly warnings: string[] = [];
  onProgress: (progress: MigrationProgress) => void = () => undefined;
  onPointOfNoReturn: () => Promise<void> = async () => undefined;
  #run = 0;

  constructor(options: Partial<KvmOptions> = {}) {
    this.options = optionsSchema.parse({ disks: 'shared', ...options });
    this.a = this.world.addHost('a', files);
    this.b = this.world.addHost('b', files);
    this.a.addGuest('web', UUID);
    this.a.guest(UUID).autostart = true;
  }

  /** `unreachable`: nobody could connect to that end. */
  async driver({ unreachable }: { unreachable?: 'source' | 'destination' } = {}): Promise<KvmMigration> {
    this.#run += 1;
    const run = this.#run;
    const context: MigrationContext = {
      log: { ...quiet, warn: (_facts, message) => this.warnings.push(message) },
      recordIntent: async (resource) => {
        this.journal.push(resource);
      },
      assertCurrent: async () => {
        if (run !== this.#run) throw new PluginError('SUPERSEDED', 'another run');
      },
    };
    const away = new PluginError('UNREACHABLE', 'No route to host.');
    const connect = async (host: FakeHost, end: 'source' | 'destination'): Promise<KvmSession> =>
      end === unreachable ? KvmSession.unreachable(host.config(), away) : host.session(this.signal);
    const ends = { source: await connect(this.a, 'source'), destination: await connect(this.b, 'destination') };
    const request = {
      ...{ migrationId: 'm_test', vm: { id: UUID, name: 'web' }, options: this.options },
      ...{
        networkMap: {},
        diskMap: {},
        convergence: 'balanced' as const,
        maxDowntimeMs: null,
        bandwidthBytesPerSec: null,
        tunnelled: false,
      },
    };
    return new KvmMigration(ends, request, context, TIMES);
  }

  /** SIGKILL: the connections break, and nothing of this run acts any more. */
  kill(): void {
    this.#run += 1;
    this.a.killClients();
    this.b.killClients();
  }

  /** Every flow directly to the destination. */
  get routes(): Routes {
    return Object.fromEntries((this.prepared?.flows ?? []).map(({ id, host, port }) => [id, { host, port }]));
  }

  async forward(driver: KvmMigration, signal = this.signal): Promise<ConfirmReport> {
    this.prepared = await driver.prepare({ signal });
    await driver.perform(this.prepared, this.routes, {
      ...{ signal, onProgress: this.onProgress, onPointOfNoReturn: this.onPointOfNoReturn },
    });
    return driver.confirm(this.prepared, { signal: this.signal });
  }

  /** What a new run does with the journal of an old one, and a failed run with itself. */
  async recover(driver: KvmMigration): Promise<VmPlacement> {
    const options = { signal: this.signal };
    let placement = await driver.locate(options);
    if (placement.postCopy === 'under-way') {
      await driver.follow({ ...options, onProgress: () => undefined });
      placement = await driver.locate(options);
    }
    if (placement.postCopy === 'broken' && this.prepared !== undefined) {
      await driver.recoverPostCopy(this.prepared, this.routes, { ...options, onProgress: () => undefined });
      placement = await driver.locate(options);
    }
    if (placement.where !== 'destination') placement = await driver.abort(options);
    if (placement.where === 'destination' && this.prepared !== undefined) await driver.confirm(this.prepared, options);
    if (placement.where === 'source') await this.release(driver);
    return driver.locate(options);
  }

  /** What was made for a VM that stayed. */
  async release(driver: KvmMigration): Promise<void> {
    for (const resource of this.journal.toReversed()) await driver.release(resource, { signal: this.signal });
  }

  /** Started with its host, here or there; `undefined` where it is not known. */
  get autostart(): { a: boolean | undefined; b: boolean | undefined } {
    return { a: this.a.guests.get(UUID)?.autostart, b: this.b.guests.get(UUID)?.autostart };
  }

  expectRunning(where: 'a' | 'b'): void {
    assert.deepEqual(this.world.violations, []);
    assert.deepEqual(this.world.running(UUID), [where]);
  }

  expectOne(where: 'a' | 'b'): void {
    assert.deepEqual(this.world.violations, []);
    assert.deepEqual(this.world.running(UUID), [where]);
    const other = (where === 'a' ? this.b : this.a).guests.get(UUID);
    const mayStay = where === 'b' && !this.options.undefineAtSource;
    assert.ok(other === undefined || (mayStay && other.state === STATE.shutOff), 'nothing is left at the other end');
    assert.equal((where === 'a' ? this.a : this.b).guests.get(UUID)?.job ?? null, null);
  }
}
