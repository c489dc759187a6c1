/**
 * Post-copy on scripted daemons: before the switch, at it, during it, with its streams broken, recovered, past recovery,
 * with the orchestrator killed. In every window the world itself watches that neither copy is destroyed, and that the old
 * one is never resumed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MigrationProgress, PluginError } from '@lmas/plugin-api';
import { ERROR, STATE } from '../rpc/constants.ts';
import { type PerformControl, Refusal } from '../testing/fake-libvirt/index.ts';
import { Orchestrator, UUID } from '../testing/orchestrator.ts';
import { clearSource } from './arrival.ts';

const LOST = new Refusal(ERROR.OPERATION_FAILED, "job 'migration out' failed in post-copy phase");
/** What would end a copy, or wake the old one. */
const DEADLY = ['domainDestroy', 'domainResume', 'domainAbortJob', 'domainUndefineFlags'] as const;

/** A world whose guest never gets across by pre-copy: data flows until the test says otherwise. */
class PostCopyWorld extends Orchestrator {
  control: PerformControl | undefined;
  readonly passed: string[] = [];
  readonly switched = Promise.withResolvers<void>();

  constructor() {
    super({ mode: 'peer-to-peer', postCopy: true });
    this.a.iteration = 2;
    this.a.onPerform = (control) => {
      this.control = control;
    };
    this.onPointOfNoReturn = async () => {
      this.passed.push(this.a.calls.includes('domainMigrateStartPostCopy') ? 'after the switch' : 'before the switch');
    };
    this.a.on('domainMigrateStartPostCopy', { do: 'after', run: () => this.switched.resolve() });
  }

  /** Neither copy was touched, and both are still there. */
  expectBothKept(): void {
    assert.deepEqual(this.world.violations, []);
    assert.equal(this.a.guests.get(UUID)?.state, STATE.paused);
    assert.equal(this.b.guests.get(UUID)?.state, STATE.running);
    const calls = [...this.a.calls, ...this.b.calls];
    assert.deepEqual(
      calls.filter((name) => (DEADLY as readonly string[]).includes(name)),
      [],
    );
  }

  /** Killed in the middle of post-copy. */
  static async killed(): Promise<PostCopyWorld> {
    const world = new PostCopyWorld();
    const old = world.driver().then((driver) => world.forward(driver));
    old.catch(() => undefined);
    await world.switched.promise;
    world.kill();
    await assert.rejects(old);
    return world;
  }
}

describe('the switch', () => {
  test('after the pass, and after the orchestrator has heard that there is no way back', async () => {
    const world = new PostCopyWorld();
    const stages = new Set<MigrationProgress['stage']>();
    world.onProgress = ({ stage }) => {
      stages.add(stage);
      if (stage === 'post-copy') world.control?.finish();
    };
    await world.forward(await world.driver());
    assert.equal(world.passed[0], 'before the switch');
    assert.ok(stages.has('post-copy'));
    world.expectOne('b');
  });

  test('waits for as many passes as were asked for, and never comes when the guest gets across sooner', async () => {
    const world = new PostCopyWorld();
    world.a.iteration = 1;
    world.a.onPerform = ({ finish }) => setTimeout(finish, 700);
    await world.forward(await world.driver());
    assert.ok(!world.a.calls.includes('domainMigrateStartPostCopy'));
    world.expectOne('b');
  });

  test('a cancel that came first: no switch, the guest runs on at the source', async () => {
    const world = new PostCopyWorld();
    const cancelled = Object.assign(new Error('cancelled'), { code: 'CANCELLED' });
    world.onPointOfNoReturn = async () => {
      throw cancelled;
    };
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), (error) => error === cancelled);
    assert.ok(!world.a.calls.includes('domainMigrateStartPostCopy'));
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    world.expectOne('a');
  });

  test('a stop while it still runs at the source stops it', async () => {
    const world = new PostCopyWorld();
    world.a.iteration = 1;
    const mind = new AbortController();
    world.a.onPerform = () => setTimeout(() => mind.abort(), 50);
    const driver = await world.driver();
    await assert.rejects(world.forward(driver, AbortSignal.any([mind.signal, world.signal])), { code: 'ABORTED' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    world.expectOne('a');
  });

  test('a stop after it has no effect', async () => {
    const world = new PostCopyWorld();
    const mind = new AbortController();
    void world.switched.promise.then(() => {
      mind.abort();
      setTimeout(() => world.control?.finish(), 700);
    });
    await world.forward(await world.driver(), mind.signal);
    assert.ok(!world.a.calls.includes('domainAbortJob'));
    world.expectOne('b');
  });

  test('refused again and again: the migration is stopped, the guest stays', async () => {
    const world = new PostCopyWorld();
    // The first is the one that the world itself listens to.
    world.a.takeScript('domainMigrateStartPostCopy');
    for (let time = 0; time < 5; time += 1) {
      world.a.on('domainMigrateStartPostCopy', { do: 'refuse', number: ERROR.OPERATION_UNSUPPORTED });
    }
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'INCOMPATIBLE' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    world.expectOne('a');
  });

  for (const fault of ['cut-before', 'cut-after', 'refuse-after'] as const) {
    test(`${fault}: whether it came about is seen, not guessed`, async () => {
      const world = new PostCopyWorld();
      world.a.takeScript('domainMigrateStartPostCopy');
      world.a.on('domainMigrateStartPostCopy', { do: fault, number: ERROR.OPERATION_FAILED });
      world.onProgress = ({ stage }) => {
        if (stage === 'post-copy') world.control?.finish();
      };
      await world.forward(await world.driver());
      world.expectOne('b');
    });
  }

  test('a run that was taken over does not switch', async () => {
    const world = new PostCopyWorld();
    world.onPointOfNoReturn = async () => {
      await world.driver();
    };
    await assert.rejects(
      world.driver().then((driver) => {
        setTimeout(() => world.control?.finish(), 700);
        return world.forward(driver);
      }),
      { code: 'SUPERSEDED' },
    );
    assert.ok(!world.a.calls.includes('domainMigrateStartPostCopy'));
    assert.ok(!world.a.calls.includes('domainAbortJob'));
  });
});

describe('broken streams', () => {
  test('are taken up again at once by the same migration', async () => {
    const world = new PostCopyWorld();
    void world.switched.promise.then(() => world.control?.fail(LOST));
    await world.forward(await world.driver());
    assert.equal(world.a.calls.filter((name) => name === 'domainMigratePerform3Params').length, 2);
    world.expectOne('b');
  });

  test('that break again, and an end that has not noticed yet: tried again', async () => {
    const world = new PostCopyWorld();
    let times = 0;
    world.a.onResume = ({ finish, fail }) => {
      times += 1;
      if (times === 1) fail(LOST);
      else finish();
    };
    void world.switched.promise.then(() => {
      world.a.on('domainMigratePerform3Params', { do: 'refuse', number: ERROR.OPERATION_INVALID });
      world.control?.fail(LOST);
    });
    await world.forward(await world.driver());
    assert.equal(times, 2);
    world.expectOne('b');
  });

  test('only the control connection is lost: QEMU sends on by itself, which is waited for and not disturbed', async () => {
    const world = new PostCopyWorld();
    let flow: NodeJS.Timeout | undefined;
    void world.switched.promise.then(() => {
      world.control?.loseControl();
      flow = setInterval(() => {
        world.a.remainingBytes -= 1;
      }, 20);
      setTimeout(() => world.control?.finish(), 900);
    });
    await world.forward(await world.driver());
    clearInterval(flow);
    assert.equal(world.a.calls.filter((name) => name === 'domainMigratePerform3Params').length, 1);
    assert.ok(!world.a.calls.includes('domainAbortJobFlags'));
    world.expectOne('b');
  });

  test('one end has noticed, the other has not, and nothing moves: it is paused on purpose, and taken up again', async () => {
    const world = new PostCopyWorld();
    void world.switched.promise.then(() => world.control?.loseControl());
    await world.forward(await world.driver());
    assert.ok(world.a.calls.includes('domainAbortJobFlags'));
    world.expectOne('b');
  });

  test('past recovery: unknown, with what to do by hand, and neither copy is ever touched', async () => {
    const world = new PostCopyWorld();
    let attempts = 0;
    world.a.onResume = ({ fail }) => {
      attempts += 1;
      fail(LOST);
    };
    void world.switched.promise.then(() => world.control?.fail(LOST));
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), (error: PluginError) => {
      assert.equal(error.code, 'OUTCOME_UNKNOWN');
      assert.match(error.remedy ?? '', /Never destroy.*--postcopy-resume/s);
      return true;
    });
    assert.equal(attempts, 4);
    const options = { signal: world.signal };
    const broken = { source: 'paused', destination: 'running', where: 'unknown', moving: false, postCopy: 'broken' };
    assert.deepEqual(await driver.locate(options), broken);
    assert.deepEqual(await driver.abort(options), broken);
    assert.ok(world.prepared !== undefined);
    await assert.rejects(driver.confirm(world.prepared, options), { code: 'OUTCOME_UNKNOWN' });
    await driver.follow({ ...options, onProgress: () => undefined });
    world.expectBothKept();
    // Once the link is mended the same driver can still bring it through.
    world.a.onResume = ({ finish }) => finish();
    await driver.recoverPostCopy(world.prepared, world.routes, { ...options, onProgress: () => undefined });
    await driver.confirm(world.prepared, options);
    world.expectOne('b');
  });

  test('the destination loses the guest: told at once, and the old copy is not resumed', async () => {
    const world = new PostCopyWorld();
    void world.switched.promise.then(() => {
      world.b.guests.delete(UUID);
      world.control?.fail(LOST);
    });
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'OUTCOME_UNKNOWN', message: /lost the VM/ });
    const { where, postCopy } = await driver.abort({ signal: world.signal });
    assert.deepEqual([where, postCopy], ['unknown', 'broken']);
    assert.equal(world.a.guests.get(UUID)?.state, STATE.paused);
    assert.ok(!world.a.calls.some((name) => (DEADLY as readonly string[]).includes(name)));
    assert.deepEqual(world.world.violations, []);
  });

  test('the destination’s daemon is away for a while: waited for, then taken up again', async () => {
    const world = new PostCopyWorld();
    void world.switched.promise.then(() => {
      world.b.setDown(true);
      world.control?.fail(LOST);
      setTimeout(() => world.b.setDown(false), 600);
    });
    await world.forward(await world.driver());
    world.expectOne('b');
  });
});

describe('the orchestrator is killed in post-copy', () => {
  test('it goes on: seen as moving, aborted by nobody, waited for, confirmed', async () => {
    const world = await PostCopyWorld.killed();
    const driver = await world.driver();
    const options = { signal: world.signal };
    const seen = { source: 'paused', destination: 'running', where: 'destination', moving: true };
    assert.deepEqual(await driver.locate(options), { ...seen, postCopy: 'under-way' });
    assert.deepEqual(await driver.abort(options), { ...seen, postCopy: 'under-way' });
    world.expectBothKept();
    setTimeout(() => world.control?.finish(), 300);
    await world.recover(await world.driver());
    world.expectOne('b');
  });

  test('confirm itself waits: the paused copy is not cleared while its memory is needed', async () => {
    const world = await PostCopyWorld.killed();
    const driver = await world.driver();
    assert.ok(world.prepared !== undefined);
    const confirming = driver.confirm(world.prepared, { signal: world.signal });
    await new Promise((resolve) => setTimeout(resolve, 800));
    world.expectBothKept();
    world.control?.finish();
    await confirming;
    world.expectOne('b');
  });

  test('clearing the source is refused while its memory is needed, whoever asks', async () => {
    const world = await PostCopyWorld.killed();
    const ends = { source: await world.a.session(world.signal), destination: await world.b.session(world.signal) };
    const request = {
      ...{ migrationId: 'm_test', vm: { id: UUID, name: 'web' }, options: world.options },
      ...{
        networkMap: {},
        diskMap: {},
        convergence: 'balanced' as const,
        maxDowntimeMs: null,
        bandwidthBytesPerSec: null,
        tunnelled: false,
      },
    };
    const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
    const context = { log, recordIntent: async () => undefined, assertCurrent: async () => undefined };
    const clear = () => clearSource(ends, request, context, { signal: world.signal });
    await assert.rejects(clear(), { code: 'OUTCOME_UNKNOWN' });
    world.control?.fail(LOST);
    await assert.rejects(clear(), { code: 'OUTCOME_UNKNOWN' });
    world.expectBothKept();
  });

  test('it breaks with nobody there: the next run takes it up again', async () => {
    const world = await PostCopyWorld.killed();
    world.control?.fail(LOST);
    const driver = await world.driver();
    assert.equal((await driver.locate({ signal: world.signal })).postCopy, 'broken');
    await world.recover(driver);
    world.expectOne('b');
  });

  test('while it is being taken up again: the run after that follows it', async () => {
    const world = await PostCopyWorld.killed();
    world.control?.fail(LOST);
    let resumed: PerformControl | undefined;
    const { promise: resuming, resolve: begun } = Promise.withResolvers<void>();
    world.a.onResume = (control) => {
      resumed = control;
      begun();
    };
    const old = world.driver().then((driver) => world.recover(driver));
    old.catch(() => undefined);
    await resuming;
    world.kill();
    const driver = await world.driver();
    assert.equal((await driver.locate({ signal: world.signal })).postCopy, 'under-way');
    setTimeout(() => resumed?.finish(), 200);
    await world.recover(driver);
    world.expectOne('b');
  });

  test('an end that does not answer: nothing is known, nothing is done', async () => {
    const world = await PostCopyWorld.killed();
    const driver = await world.driver();
    world.b.setDown(true);
    const { where, destination } = await driver.abort({ signal: world.signal });
    assert.deepEqual([where, destination], ['unknown', 'unreachable']);
    world.expectBothKept();
  });
});
