/**
 * A migration of plain Xen in a world of its own, through a relay that stands for the gateways: begun, disturbed, and taken up again by
 * a driver that remembers nothing.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type MigrationContext,
  type MigrationDriver,
  PluginError,
  type PluginResource,
  type Prepared,
  type VmRef,
} from '@lmas/plugin-api';
import type { z } from 'zod';
import { type Relay, startRelay, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { type DriverTimes, XlMigration } from '../../plugins/xen/src/xl/driver.ts';
import { XlSession } from '../../plugins/xen/src/xl/session.ts';
import type { Ends } from '../../plugins/xen/src/xl/steps.ts';
import { type Addresses, plugin, VM, type XlHost, XlWorld } from '../compliance/xl-world.ts';
import type { HostSettings, Point } from '../lab/xl/host.ts';

export const silent = () => undefined;
const log = { debug: silent, info: silent, warn: silent, error: silent };
export type End = 'source' | 'destination';

/** `of`: what its job contains. */
export interface Step {
  readonly verb: string;
  readonly of?: string;
}

/** A zombie has closed all that it had open. */
function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

export class Play implements AsyncDisposable {
  readonly signal = AbortSignal.timeout(60_000);
  readonly journal: PluginResource[] = [];
  readonly #held = new AsyncDisposableStack();
  readonly world: XlWorld;
  gateways!: Relay;
  prepared!: Prepared;

  private constructor(world: XlWorld) {
    this.world = this.#held.use(world);
  }

  static async make(sshd: TestSshd, settings?: Partial<HostSettings>, addresses?: Addresses): Promise<Play> {
    return new Play(await XlWorld.make(sshd, settings, addresses));
  }

  /** As a new process would make it. */
  async driver({ migrationId = 'm_1', vm = VM }: { migrationId?: string; vm?: VmRef } = {}): Promise<MigrationDriver> {
    return this.#driverOf(await this.sessions(), migrationId, vm);
  }

  /** One to which the destination is silent, and which does not wait for long. */
  async driverWithoutDestination(times: DriverTimes): Promise<MigrationDriver> {
    const { source, destination } = await this.sessions();
    await destination.close();
    const silent = plugin.unreachable?.(destination.config, new PluginError('UNREACHABLE', 'No route to host.'));
    assert.ok(silent instanceof XlSession);
    return this.#driverOf({ source, destination: silent }, 'm_1', VM, times);
  }

  #driverOf(ends: Ends, migrationId = 'm_1', vm: VmRef = VM, times: DriverTimes = {}): MigrationDriver {
    const context: MigrationContext = {
      log,
      recordIntent: async (resource) => void this.journal.push(resource),
      assertCurrent: async () => undefined,
    };
    const request = {
      ...{ migrationId, vm, options: plugin.optionsSchema.parse({}), networkMap: {}, diskMap: {} },
      ...{ convergence: 'balanced' as const, maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: true },
    };
    return new XlMigration(ends, request, context, times);
  }

  async sessions(): Promise<Ends> {
    const ends = await this.world.connect();
    for (const session of [ends.source, ends.destination]) this.#held.defer(() => session.close());
    return ends;
  }

  /** Prepares, and begins; the answer is what became of `perform`. */
  async begin(
    stop: AbortSignal = this.signal,
    by?: MigrationDriver,
  ): Promise<{ readonly performing: Promise<unknown> }> {
    const driver = by ?? (await this.driver());
    this.prepared = await driver.prepare({ signal: this.signal });
    this.gateways = this.#held.use(await startRelay(this.prepared.flows[0]?.port ?? 0));
    const routes = { memory: { host: '127.0.0.1', port: this.gateways.port } };
    const ignore = { onProgress: silent, onPointOfNoReturn: async () => undefined };
    const performing = driver.perform(this.prepared, routes, { signal: stop, ...ignore }).then(
      () => 'done',
      (error: unknown) => error,
    );
    return { performing };
  }

  /** A driver that loses one host at one step, after it was done there or before, and with it the connection. */
  async losing(
    { verb, of = '' }: Step,
    isDone: boolean,
  ): Promise<{ readonly driver: MigrationDriver; lost(): boolean }> {
    const ends = await this.sessions();
    let isLost = false;
    for (const { dom0 } of [ends.source, ends.destination]) {
      const ask = dom0.ask.bind(dom0);
      dom0.ask = async <T>(asked: string, job: object, shape: z.ZodType<T>, options: { signal: AbortSignal }) => {
        const isIt = !isLost && asked === verb && JSON.stringify(job).includes(of);
        if (isIt) isLost = true;
        const answer = isIt && !isDone ? undefined : await ask(asked, job, shape, options);
        if (!isIt && answer !== undefined) return answer;
        await dom0.close();
        throw new PluginError('CONNECTION_LOST', `lost at ${verb}`);
      };
    }
    return { driver: this.#driverOf(ends), lost: () => isLost };
  }

  /** As a host that loses its power: its processes are gone in the middle of whatever they do, and so are its notes. */
  async crash(end: End): Promise<void> {
    for (const name of ['send', 'send.xl', 'relay']) await this.kill(end, name);
    rmSync(join(this.hostOf(end).config.runDirectory, 'm_1'), { recursive: true });
  }

  /** One process of the migration at that host, by the name of its note. Until it is gone it may take one more message. */
  async kill(end: End, name: string): Promise<void> {
    const note = readFileSync(join(this.hostOf(end).config.runDirectory, 'm_1', name), 'utf8');
    const { pid } = JSON.parse(note) as { pid: number };
    if (lives(pid)) process.kill(pid, 'SIGKILL');
    while (lives(pid)) await delay(5, undefined, { signal: this.signal });
  }

  hostOf(end: End): XlHost {
    return this.world[end];
  }

  async stands(end: End, point: Point): Promise<void> {
    await this.hostOf(end).host.reached(point, this.signal);
  }

  /** Until the program at that host has written it down. */
  async noted(end: End, what: string): Promise<void> {
    const path = join(this.hostOf(end).config.runDirectory, 'm_1', what);
    while (!existsSync(path)) await delay(10, undefined, { signal: this.signal });
  }

  /** What the orchestrator does after a crash. */
  async recover(by?: MigrationDriver): Promise<End> {
    const driver = by ?? (await this.driver());
    const { signal } = this;
    await driver.follow({ signal, onProgress: silent });
    const { where } = await driver.abort({ signal });
    assert.ok(where === 'source' || where === 'destination', where);
    if (where === 'destination') await driver.confirm(this.prepared, { signal });
    else for (const resource of this.journal.toReversed()) await driver.release(resource, { signal });
    return where;
  }

  assertTidyAt(end: End): void {
    const { world } = this;
    assert.deepEqual(world.runningCopies(), { source: end === 'source', destination: end === 'destination' });
    assert.equal(world.maxRunningCopies(), 1, 'never two copies at one instant');
    const domains = [world.source, world.destination].map(({ host }) => host.domains().map(({ name }) => name));
    assert.deepEqual(domains, end === 'source' ? [[VM.name], []] : [[], [VM.name]]);
    for (const { config } of [world.source, world.destination]) {
      const left = existsSync(config.runDirectory) ? readdirSync(config.runDirectory) : [];
      assert.deepEqual(left, [], 'nothing is left in the run directory');
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#held.disposeAsync();
  }
}
