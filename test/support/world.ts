/**
 * A lab and an orchestrator that knows it, for tests that want the real thing; plus what every such test asks at its
 * end: did exactly one copy live all the time, is it the same guest, is anything left over?
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LmasClient, Migration, MigrationInput, Phase } from '@lmas/client';
import {
  type GuestStatus,
  type Lab,
  type LabOptions,
  labDown,
  labUp,
  type SiteName,
  type VmOptions,
} from '../lab/src/index.ts';
import { isSameGuest } from './measured-migration.ts';
import { OrchestratorProcess } from './orchestrator.ts';
import { leftoversSince, SETTLE_MS, type Traces, takeTraces } from './traces.ts';
import { endpointId, registerLab } from './two-sites.ts';

/** The promise: one runs again so soon after everything can be reached. */
export const NONE_AT_MOST_MS = 40_000;
const ENDS_WITHIN_MS = 120_000;

export class World {
  readonly lab: Lab;
  readonly orchestrator: OrchestratorProcess;
  readonly client: LmasClient;
  readonly #before: Traces;

  private constructor(lab: Lab, orchestrator: OrchestratorProcess, before: Traces) {
    this.lab = lab;
    this.orchestrator = orchestrator;
    this.client = orchestrator.client();
    this.#before = before;
  }

  /**
   * @param options the lab's; `name` keeps suites apart that run at the same time
   * @param prepare what a suite changes at the lab's machines; not taken for something that a migration left
   */
  static async up(
    { settings, ...options }: LabOptions & { name: string; settings?: Readonly<Record<string, string>> },
    prepare: (lab: Lab) => Promise<void> = async () => undefined,
  ): Promise<World> {
    await labDown(options.name);
    const lab = await labUp(options);
    try {
      await prepare(lab);
      const before = await takeTraces(lab);
      const orchestrator = await OrchestratorProcess.start({
        dataDir: join(lab.stateDir, 'orchestrator'),
        ...(settings === undefined ? {} : { env: settings }),
      });
      const world = new World(lab, orchestrator, before);
      await registerLab(world.client, lab);
      return world;
    } catch (error) {
      await labDown(options.name);
      throw error;
    }
  }

  /** Ends everything. @throws when something would not go */
  async down(): Promise<void> {
    await this.orchestrator.stop();
    const { leftovers } = await labDown(this.lab.name);
    assert.deepEqual(leftovers, [], 'the lab could not be taken down');
  }

  /** Starts a fresh VM at a site, with a nonce in its memory, and watches it from then on. */
  async startVm(options: VmOptions): Promise<WatchedVm> {
    const site = options.site ?? 'a';
    await this.lab.vm.remove(options.name);
    const { uuid } = await this.lab.vm.define(options);
    await this.lab.vm.start(site, options.name);
    const nonce = await this.lab.vm.setNonce(site, options.name);
    const status = await this.lab.vm.status(site, options.name);
    return new WatchedVm(this.lab, options.name, uuid, nonce, status);
  }

  /** Submits a migration from A to B unless told otherwise. */
  migrate(vm: WatchedVm, request: Partial<MigrationInput> = {}): Promise<Migration> {
    return this.client.createMigration({
      vm: vm.name,
      source: endpointId('a'),
      destination: endpointId('b'),
      ...request,
    });
  }

  /** Follows a migration to its end, over restarts of the orchestrator. `onSeen` is told what its record says on the way. */
  async end(id: string, onSeen: (migration: Migration) => void = () => undefined): Promise<Migration> {
    const signal = AbortSignal.timeout(ENDS_WITHIN_MS);
    for await (const { event } of this.client.watchMigration(id, { signal })) onSeen(event.migration);
    return this.client.getMigration(id);
  }

  /**
   * Which phase a migration was in at a moment of this machine's clock.
   * @returns undefined when it had ended by then
   */
  static phaseAt({ timeline, endedAt }: Migration, atMs: number): Phase | undefined {
    if (endedAt !== null && Date.parse(endedAt) <= atMs) return undefined;
    return timeline.findLast(({ startedAt }) => Date.parse(startedAt) <= atMs)?.phase;
  }

  /** Waits until a migration has entered a phase. @returns false when it ended without */
  async reaches(id: string, phase: Phase, signal = AbortSignal.timeout(ENDS_WITHIN_MS)): Promise<boolean> {
    for await (const { event } of this.client.watchMigration(id, { signal })) {
      if (event.migration.timeline.some((entry) => entry.phase === phase)) return true;
    }
    return false;
  }

  /** For the message of a failed test: every migration that has not ended, and what the orchestrator said last. */
  async describeTrouble(): Promise<string> {
    const open = (await this.#living().catch(() => [])).map(({ request: _, report: __, ...rest }) =>
      JSON.stringify(rest),
    );
    return ['Not ended:', ...open, 'The orchestrator:', this.orchestrator.logTail(40)].join('\n');
  }

  /** So that one failed test does not fail the next. */
  async cancelAll(): Promise<void> {
    for (const { id } of await this.#living()) {
      // 409: past the point of no return it ends by itself.
      await this.client.cancelMigration(id).catch(() => undefined);
      await this.end(id).catch((error: unknown) => console.error(`${id} does not end: ${String(error)}`));
    }
  }

  async #living(): Promise<Migration[]> {
    const { items } = await this.client.listMigrations({ limit: 50 });
    return items.filter(({ endedAt }) => endedAt === null);
  }

  /** What migrations left on the machines. Each VM's own QEMU is expected, at the one host where it runs. */
  leftovers(vms: readonly WatchedVm[], settleMs = SETTLE_MS): Promise<string[]> {
    const isVm = (line: string): boolean => vms.some((vm) => this.#isQemuOf(vm, line));
    return leftoversSince(this.#before, this.lab, isVm, settleMs);
  }

  /** As libvirt names it, on its command line and its sockets, the guest's serial line among them. */
  #isQemuOf({ name, uuid }: WatchedVm, line: string): boolean {
    const copies = this.lab.copies(uuid);
    const host = copies.a === copies.b ? undefined : copies.a ? 'host-a' : 'host-b';
    const itsOwn = new RegExp(`(guest=|domain-\\d+-|/serial/)${name}(,|/| |\\.sock)`);
    return host !== undefined && line.startsWith(`${host}: `) && itsOwn.test(line);
  }
}

/** A VM whose every heartbeat is heard, at both sites, from its start on. */
export class WatchedVm {
  readonly name: string;
  readonly uuid: string;
  readonly #lab: Lab;
  readonly #nonce: string;
  readonly #status: GuestStatus;
  readonly #sampler: ReturnType<Lab['startSampler']>;

  constructor(lab: Lab, name: string, uuid: string, nonce: string, status: GuestStatus) {
    this.#lab = lab;
    this.name = name;
    this.uuid = uuid;
    this.#nonce = nonce;
    this.#status = status;
    this.#sampler = lab.startSampler(uuid);
  }

  /** What has been seen so far. */
  get seen() {
    return this.#sampler.report();
  }

  /** Asserts that it runs at `site` and nowhere else, never ran twice, and is the guest that was started. */
  async assertLivesAt(site: SiteName): Promise<void> {
    await this.#assertIsAt(site);
    this.#assertNeverTwice();
    assert.equal(this.seen.maxCopies, 1, `${this.name} had a copy: ${JSON.stringify(this.seen.fromOtherNics)}`);
  }

  /**
   * Asserts that it is as it was started at `site`: never anywhere else, never paused, started again or moved, however short; and that what
   * else was heard in its name was a copy with a NIC of its own, at the other site.
   */
  async assertWasNotTouched(site: SiteName): Promise<void> {
    await this.#assertIsAt(site);
    this.#assertNeverTwice();
    const other = site === 'a' ? 'b' : 'a';
    const { heartbeats, fromOtherNics } = this.seen;
    assert.deepEqual([heartbeats.bySite[other], heartbeats.moves, fromOtherNics[site]], [0, [], 0], this.name);
    const state = await this.#lab.vm.virsh(site, ['domstate', '--reason', this.name]);
    assert.equal(state.trim(), 'running (booted)', 'one that was ever paused is `unpaused`');
  }

  #assertNeverTwice(): void {
    const { maxHosts, heartbeats } = this.seen;
    assert.equal(heartbeats.repeated, 0, `${this.name} ran twice: ${JSON.stringify(heartbeats.firstRepeated)}`);
    assert.equal(maxHosts, 1, `${this.name} ran at both`);
  }

  async #assertIsAt(site: SiteName): Promise<void> {
    const other = site === 'a' ? 'b' : 'a';
    assert.deepEqual(
      this.#lab.copies(this.uuid),
      { [site]: true, [other]: false },
      `${this.name} must run at ${site} only`,
    );
    const verdict = await this.#lab.vm.verify(site, this.name);
    assert.ok(isSameGuest(verdict, this.#nonce, this.#status), `${this.name} is damaged: ${JSON.stringify(verdict)}`);
  }

  /** Waits until one copy runs (wherever), for the promised time at most. @returns where */
  async assertRunsSoon(withinMs = NONE_AT_MOST_MS): Promise<SiteName> {
    const deadline = performance.now() + withinMs;
    while (performance.now() < deadline) {
      const { a, b } = this.#lab.copies(this.uuid);
      assert.ok(!(a && b), `${this.name} runs twice`);
      if (a || b) return a ? 'a' : 'b';
      await delay(100);
    }
    throw new assert.AssertionError({ message: `${this.name} ran nowhere for ${withinMs} ms` });
  }

  /** Lets go of the VM, which runs on. Idempotent. */
  endWatch(): void {
    this.#sampler.stop();
  }

  /** Ends the watch and the VM. */
  async remove(): Promise<void> {
    this.endWatch();
    await this.#lab.vm.remove(this.name);
  }
}
