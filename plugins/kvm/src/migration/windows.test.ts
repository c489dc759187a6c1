/**
 * The key test of this plugin: every call of a direct migration, refused, with its connection lost before and after its
 * effect, with the orchestrator killed before and after it, with a slow daemon; and each time, after whatever recovery
 * the contract gives the orchestrator, exactly one copy runs, never two did, and no copy that another had overtaken was
 * ever resumed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasArrived, type Prepared, pluginErrorCode } from '@lmas/plugin-api';
import { ERROR, OPERATION, PAUSED, SHUTOFF, STATE } from '../rpc/constants.ts';
import type { ProcedureName } from '../rpc/procedures.ts';
import { Refusal } from '../testing/fake-libvirt/index.ts';
import { Orchestrator, UUID } from '../testing/orchestrator.ts';

describe('a VM that starts with its host', () => {
  const modes = ['direct', 'peer-to-peer'] as const;

  for (const mode of modes) {
    for (const undefineAtSource of [true, false]) {
      const kept = undefineAtSource ? 'removed' : 'kept';
      test(`starts nowhere while it is on its way, and then there (${mode}, definition ${kept})`, async () => {
        const world = new Orchestrator({ mode, undefineAtSource });
        const name = mode === 'direct' ? 'domainMigrateBegin3Params' : 'domainMigratePerform3Params';
        const seen: unknown[] = [];
        world.a.on('domainSetAutostart', { do: 'hold', before: () => void seen.push(world.journal.length) });
        world.a.on(name, { do: 'hold', before: () => void seen.push(world.autostart.a) });
        await world.forward(await world.driver());
        assert.deepEqual(seen, [1, false], 'journalled first, and off before libvirt is asked for anything');
        assert.deepEqual(world.autostart, { a: undefineAtSource ? undefined : false, b: true });
        world.expectOne('b');
      });
    }
  }

  test('where it stays it does so again, and a person is told how', async () => {
    const world = new Orchestrator();
    const driver = await world.driver();
    await driver.prepare({ signal: world.signal });
    assert.deepEqual(world.autostart, { a: false, b: false });
    assert.match(world.journal[0]?.byHand ?? '', /virsh autostart web/);
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    for (let time = 0; time < 2; time += 1) await world.release(driver);
    assert.deepEqual(world.autostart, { a: true, b: undefined });
  });

  test('where libvirt says that the VM is not to be had, it is as it was: whoever tries again takes the setting along', async () => {
    const world = new Orchestrator();
    world.a.on('domainMigrateBegin3Params', { do: 'refuse', number: ERROR.OPERATION_TIMEOUT });
    await assert.rejects(async () => (await world.driver()).prepare({ signal: world.signal }), { code: 'BUSY' });
    assert.equal(world.autostart.a, true);
    await world.forward(await world.driver());
    assert.equal(world.autostart.b, true);
    world.expectOne('b');
  });

  test('where that cannot be put back, nobody says that the VM was not touched', async () => {
    const world = new Orchestrator();
    world.a.on('domainMigrateBegin3Params', { do: 'refuse', number: ERROR.OPERATION_TIMEOUT });
    world.a.on('domainSetAutostart', { do: 'after', run: () => undefined });
    world.a.on('domainSetAutostart', { do: 'refuse', number: ERROR.OPERATION_TIMEOUT });
    const driver = await world.driver();
    await assert.rejects(driver.prepare({ signal: world.signal }), { code: 'HYPERVISOR_FAULT' });
    await world.recover(driver);
    assert.equal(world.autostart.a, true);
    world.expectOne('a');
  });

  test('a run that was taken over meanwhile puts nothing back, and says so', async () => {
    const world = new Orchestrator();
    const refuse = async (): Promise<void> => {
      await world.driver(); // the next run
      throw Object.assign(new Error('somebody else has the VM'), { number: ERROR.OPERATION_TIMEOUT });
    };
    world.a.on('domainMigrateBegin3Params', { do: 'hold', before: refuse });
    const driver = await world.driver();
    await assert.rejects(driver.prepare({ signal: world.signal }), { code: 'SUPERSEDED' });
    assert.equal(world.autostart.a, false);
    assert.deepEqual(world.warnings, []);
  });

  test('one that does not is not touched', async () => {
    const world = new Orchestrator();
    world.a.guest(UUID).autostart = false;
    await world.forward(await world.driver());
    assert.deepEqual([world.journal, world.autostart.b], [[], false]);
  });

  test('while nobody knows where it is, no host starts it', async () => {
    const world = new Orchestrator();
    world.b.on('domainMigrateFinish3Params', { do: 'after', run: () => world.b.setDown(true) });
    await assert.rejects(async () => world.forward(await world.driver()), { code: 'OUTCOME_UNKNOWN' });
    assert.deepEqual(world.autostart, { a: false, b: false });
  });

  test('a release that comes late puts nothing back where it was moved since, or is gone', async () => {
    for (const destination of [true, false]) {
      const world = new Orchestrator();
      const driver = await world.driver();
      await driver.prepare({ signal: world.signal });
      await driver.abort({ signal: world.signal });
      if (destination) world.b.addGuest('web', UUID);
      else world.a.guest(UUID).persistent = false;
      await world.release(driver);
      assert.equal(world.autostart.a, false);
    }
  });

  test('a copy that does not run at the destination keeps it from being put back: it is tried again', async () => {
    for (const reason of [PAUSED.migration, PAUSED.user]) {
      const world = new Orchestrator();
      const driver = await world.driver();
      await driver.prepare({ signal: world.signal });
      await driver.abort({ signal: world.signal });
      world.b.addGuest('web', UUID);
      world.b.set(world.b.guest(UUID), STATE.paused, reason);
      await assert.rejects(world.release(driver), { code: 'BUSY' });
      assert.equal(world.autostart.a, false);
      world.b.guests.delete(UUID);
      await world.release(driver);
      assert.equal(world.autostart.a, true);
    }
  });

  test('a destination that does not answer keeps it from being put back: it is tried again', async () => {
    const world = new Orchestrator();
    const driver = await world.driver();
    await driver.prepare({ signal: world.signal });
    await driver.abort({ signal: world.signal });
    world.b.setDown(true);
    await assert.rejects(world.release(driver));
    assert.equal(world.autostart.a, false);
    world.b.setDown(false);
    await world.release(driver);
    assert.equal(world.autostart.a, true);
  });
});

function setForeignJob(world: Orchestrator, job: number | null): void {
  const guest = world.a.guests.get(UUID);
  assert.ok(guest !== undefined);
  guest.foreignJob = job;
}

const CALLS: readonly { name: ProcedureName; end: 'a' | 'b' }[] = [
  { name: 'domainMigrateBegin3Params', end: 'a' },
  { name: 'domainMigratePrepare3Params', end: 'b' },
  { name: 'domainMigratePerform3Params', end: 'a' },
  { name: 'domainMigrateFinish3Params', end: 'b' },
  { name: 'domainMigrateConfirm3Params', end: 'a' },
];

test('undisturbed: arrives, is defined there, is gone here', async () => {
  const world = new Orchestrator();
  const report = await world.forward(await world.driver());
  world.expectOne('b');
  assert.equal(world.b.guests.get(UUID)?.persistent, true);
  assert.equal(world.a.guests.has(UUID), false);
  assert.match(report.sourceDefinition ?? '', /<name>web</);
  assert.equal(JSON.stringify(world.prepared).split('<name>web<').length, 2, 'what may be large is stored once');
  const order = world.a.calls.concat(world.b.calls).filter((name) => name.startsWith('domainMigrate'));
  assert.deepEqual([...order].sort(), CALLS.map(({ name }) => name).sort());
});

describe('a run that fails and recovers by itself', () => {
  for (const { name, end } of CALLS) {
    for (const fault of ['refuse', 'refuse-after', 'cut-before', 'cut-after'] as const) {
      test(`${name}: ${fault}`, async () => {
        const world = new Orchestrator();
        world[end].on(name, { do: fault, number: ERROR.OPERATION_FAILED });
        const driver = await world.driver();
        await world.forward(driver).catch(() => undefined);
        await world.recover(driver);
        const [only] = world.world.running(UUID);
        assert.ok(only === 'a' || only === 'b', 'it runs somewhere');
        world.expectOne(only);
        // Before Finish had its effect nothing but the source may have it, after it nothing but the destination.
        const late = name === 'domainMigrateConfirm3Params';
        const finished = name === 'domainMigrateFinish3Params' && fault.endsWith('after');
        assert.equal(only, late || finished ? 'b' : 'a');
        assert.equal(world.autostart[only], true);
      });
    }
  }
});

describe('the orchestrator is killed', () => {
  for (const { name, end } of CALLS) {
    for (const when of ['before', 'after'] as const) {
      for (const autoDestroyDelayMs of [0, 700]) {
        test(`${when} the effect of ${name}, the incoming guest outlives it by ${autoDestroyDelayMs} ms`, async () => {
          const world = new Orchestrator();
          world.b.autoDestroyDelayMs = autoDestroyDelayMs;
          const kill = (): void => world.kill();
          world[end].on(name, when === 'before' ? { do: 'hold', before: kill } : { do: 'after', run: kill });
          await assert.rejects(async () => world.forward(await world.driver()));
          const placement = await world.recover(await world.driver());
          const [only] = world.world.running(UUID);
          assert.ok(only === 'a' || only === 'b', `it runs somewhere: ${JSON.stringify(placement)}`);
          world.expectOne(only);
          assert.equal(world.autostart[only], true);
        });
      }
    }
  }

  test('while Perform runs, which goes on: it is aborted, the guest stays', async () => {
    const world = new Orchestrator();
    const { promise: performing, resolve: begun } = Promise.withResolvers<void>();
    world.a.onPerform = () => begun();
    const old = world.driver().then((driver) => world.forward(driver));
    old.catch(() => undefined);
    await performing;
    world.b.autoDestroyDelayMs = 60_000;
    world.kill();
    const driver = await world.driver();
    const seen = await driver.locate({ signal: world.signal });
    assert.deepEqual([seen.where, seen.moving], ['source', false]);
    assert.equal((await world.recover(driver)).where, 'source');
    world.expectOne('a');
  });

  test('while Finish is under way at the daemon: it is waited for, and the guest found at the destination', async () => {
    const world = new Orchestrator();
    const { promise: late, resolve: letGo } = Promise.withResolvers<void>();
    world.b.autoDestroyDelayMs = 60_000;
    const hold = async (): Promise<void> => {
      world.kill();
      await late;
    };
    world.b.on('domainMigrateFinish3Params', { do: 'hold', before: hold });
    await assert.rejects(async () => world.forward(await world.driver()));
    const driver = await world.driver();
    setTimeout(letGo, 600);
    assert.equal((await world.recover(driver)).where, 'destination');
    world.expectOne('b');
  });
});

describe('a source that stands still and cannot be resumed yet: the answer says so, and a later try resumes it', () => {
  const aside: Record<
    string,
    { destination: string; before(world: Orchestrator): void; after(world: Orchestrator): void }
  > = {
    'somebody still holds the incoming guest': {
      destination: 'incoming',
      before: (world) => {
        world.b.autoDestroyDelayMs = 2_500;
      },
      after: () => undefined,
    },
    'libvirt refuses to resume it, again and again': {
      destination: 'absent',
      before: (world) => {
        for (let i = 0; i < 1_000; i += 1) world.a.on('domainResume', { do: 'refuse', number: ERROR.OPERATION_FAILED });
      },
      after: (world) => {
        assert.ok(world.warnings.some((message) => message.includes('refused')));
        while (world.a.takeScript('domainResume') !== undefined);
      },
    },
    'somebody else’s job lasts there': {
      destination: 'absent',
      before: (world) => setForeignJob(world, OPERATION.backup),
      after: (world) => setForeignJob(world, null),
    },
  };
  for (const [name, { destination, before, after }] of Object.entries(aside)) {
    test(name, async () => {
      const world = new Orchestrator();
      const fall = (): void => {
        before(world);
        world.kill();
      };
      world.a.on('domainMigratePerform3Params', { do: 'after', run: fall });
      await assert.rejects(async () => world.forward(await world.driver()));
      const driver = await world.driver();
      const seen = await driver.abort({ signal: world.signal });
      assert.deepEqual([seen.source, seen.destination, seen.where], ['paused', destination, 'source']);
      after(world);
      assert.equal((await driver.abort({ signal: world.signal })).source, 'running');
      world.expectOne('a');
    });
  }
});

describe('a Finish that fails after it has defined the guest', () => {
  test('refused by the daemon: the definition goes, and the guest runs on at the source at once', async () => {
    const world = new Orchestrator();
    world.b.failsToStart = true;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'HYPERVISOR_FAULT', message: /write" lock/ });
    world.expectOne('a');
    assert.equal((await world.recover(driver)).where, 'source');
    assert.equal(world.b.guests.has(UUID), false);
    world.expectOne('a');
  });

  test('the definition cannot be removed: it never ran there all the same', async () => {
    const world = new Orchestrator();
    world.b.failsToStart = true;
    world.b.on('domainUndefineFlags', { do: 'refuse', number: ERROR.OPERATION_FAILED });
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'HYPERVISOR_FAULT' });
    world.expectRunning('a');
    assert.equal(world.b.guests.get(UUID)?.state, STATE.shutOff);
    assert.equal((await world.recover(driver)).where, 'source');
    world.expectOne('a');
  });

  test('a run that dies once the definition is gone: the next one resumes the source', async () => {
    const world = new Orchestrator();
    world.b.failsToStart = true;
    world.b.on('domainUndefineFlags', { do: 'after', run: () => world.kill() });
    await assert.rejects(async () => world.forward(await world.driver()));
    assert.deepEqual(world.world.running(UUID), []);
    assert.equal((await world.recover(await world.driver())).where, 'source');
    world.expectOne('a');
  });

  test('peer to peer: libvirt resumes the source by itself, and the definition is removed', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    world.b.failsToStart = true;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'STREAM_FAILED' });
    assert.equal(world.b.guests.get(UUID)?.state, STATE.shutOff, 'the fault was there');
    const placement = await driver.abort({ signal: world.signal });
    assert.deepEqual(placement, { source: 'running', destination: 'absent', where: 'source', moving: false });
    world.expectOne('a');
  });

  test('a definition that cannot be removed is told, and holds nothing up', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    world.b.failsToStart = true;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver));
    for (let i = 0; i < 100; i += 1)
      world.b.on('domainUndefineFlags', { do: 'refuse', number: ERROR.OPERATION_FAILED });
    const placement = await driver.abort({ signal: world.signal });
    assert.deepEqual(placement, { source: 'running', destination: 'stopped', where: 'source', moving: false });
    assert.ok(world.warnings.some((message) => message.includes('refused')));
    world.expectRunning('a');
  });

  test('what is not ours is left alone: before anything moved, and what was shut down there', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    world.b.failsToStart = true;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver));
    const options = { signal: world.signal };
    assert.equal((await driver.abort({ ...options, performed: false })).destination, 'stopped');
    const guest = world.b.guests.get(UUID);
    assert.ok(guest !== undefined);
    guest.reason = SHUTOFF.shutdown;
    assert.equal((await driver.abort(options)).destination, 'stopped');
    assert.ok(!world.b.calls.includes('domainUndefineFlags'));
  });

  const uncertain: Record<string, (world: Orchestrator) => void> = {
    'a run that dies before it has acted on the answer': (world) =>
      world.b.on('domainUndefineFlags', {
        do: 'hold',
        before: () => {
          world.kill();
          throw new Refusal(ERROR.OPERATION_FAILED, 'never sent');
        },
      }),
    'an answer that is lost': (world) => {
      world.b.autoDestroyDelayMs = 60_000;
      world.b.on('domainMigrateFinish3Params', { do: 'hold', before: (connection) => connection.cut() });
    },
  };
  for (const [name, script] of Object.entries(uncertain)) {
    test(`${name}: the reason alone proves nothing, and nothing is resumed or removed`, async () => {
      const world = new Orchestrator();
      world.b.failsToStart = true;
      script(world);
      await assert.rejects(async () => world.forward(await world.driver()));
      const driver = await world.driver();
      assert.equal((await driver.abort({ signal: world.signal })).where, 'unknown');
      assert.equal(world.a.guests.get(UUID)?.state, STATE.paused);
      assert.ok(!world.a.calls.includes('domainMigrateConfirm3Params'));
    });
  }

  test('a guest that is off for another reason may have run: nothing is resumed or removed', async () => {
    const world = new Orchestrator();
    // It answers with an error, and the guest shuts itself down before anybody looks.
    world.b.on('domainMigrateFinish3Params', { do: 'refuse-after', number: ERROR.OPERATION_FAILED });
    const driver = await world.driver();
    const prepared = await driver.prepare({ signal: world.signal });
    world.prepared = prepared;
    await driver.perform(prepared, world.routes, {
      ...{ signal: world.signal, onProgress: () => undefined, onPointOfNoReturn: async () => undefined },
    });
    world.b.on('domainLookupByUuid', { do: 'hold', before: () => world.b.endGuest(UUID) });
    await assert.rejects(driver.confirm(prepared, { signal: world.signal }), { code: 'OUTCOME_UNKNOWN' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'unknown');
    assert.equal(world.a.guests.get(UUID)?.state, STATE.paused);
    assert.equal(world.b.guests.get(UUID)?.persistent, true);
  });
});

describe('after the arrival a daemon that refuses to tidy is a warning, and no failure', () => {
  for (const version of [9_000_000n, 5_005_000n]) {
    test(`what libvirt knows of checkpoints goes with the definition (${version})`, async () => {
      const world = new Orchestrator();
      world.a.libvirtVersion = version;
      if (version > 5_006_000n) world.a.guest(UUID).checkpoints = 2;
      assert.deepEqual((await world.forward(await world.driver())).warnings, []);
      world.expectOne('b');
    });
  }

  const definition = { kind: 'definition', id: 'web' };
  const refusals: Record<
    string,
    { options: object; call: ProcedureName; end: 'a' | 'b'; warning: RegExp; kept: object[] }
  > = {
    'the definition at the source': {
      ...{ options: {}, call: 'domainUndefineFlags', end: 'a' },
      ...{ warning: /^removing the definition at the source: .*Never start the VM there/, kept: [definition] },
    },
    'the autostart of a definition that stays': {
      ...{ options: { undefineAtSource: false }, call: 'domainSetAutostart', end: 'a' },
      ...{ warning: /^keeping the VM at the source from starting with its host: /, kept: [definition] },
    },
    'the autostart at the destination': {
      ...{ options: {}, call: 'domainSetAutostart', end: 'b' },
      ...{ warning: /the VM starts with its host \(virsh autostart\): refused by script/, kept: [] },
    },
    'the definition at the destination, where none is wanted': {
      ...{ options: { persistAtDestination: false }, call: 'domainUndefineFlags', end: 'b' },
      ...{ warning: /the VM is forgotten when it is shut down: refused by script/, kept: [] },
    },
  };
  for (const [name, { options, call, end, warning, kept }] of Object.entries(refusals)) {
    test(name, async () => {
      const world = new Orchestrator(options);
      const driver = await world.driver();
      world.b.on('domainMigrateFinish3Params', {
        do: 'after',
        run: () => {
          for (let i = 0; i < 100; i += 1) world[end].on(call, { do: 'refuse', number: ERROR.OPERATION_FAILED });
        },
      });
      const report = await world.forward(driver);
      assert.deepEqual([report.warnings.length, report.keptAtSource], [1, kept]);
      assert.match(report.warnings[0] ?? '', warning);
      world.expectRunning('b');
      assert.notEqual(world.autostart.a, true);
    });
  }

  test('a refusal that passes leaves nothing', async () => {
    const world = new Orchestrator();
    world.a.on('domainUndefineFlags', { do: 'refuse', number: ERROR.OPERATION_TIMEOUT });
    assert.deepEqual((await world.forward(await world.driver())).warnings, []);
    world.expectOne('b');
  });
});

describe('an end that cannot be asked', () => {
  test('the source dies right after Finish: the error says that the guest has arrived, also without memory of before', async () => {
    const world = new Orchestrator();
    world.b.on('domainMigrateFinish3Params', { do: 'after', run: () => world.a.setDown(true) });
    await assert.rejects(
      async () => world.forward(await world.driver()),
      (error) => hasArrived(error) && pluginErrorCode(error) !== undefined,
    );
    world.expectRunning('b');
    world.a.setDown(false);
    world.a.on('domainDestroy', { do: 'hold', before: () => world.a.setDown(true) });
    const { prepared } = world;
    assert.ok(prepared !== undefined);
    assert.match(prepared.atSource?.sourceDefinition ?? '', /<name>web</, 'for a report without the source');
    await assert.rejects(
      async () => (await world.driver()).confirm(prepared, { signal: world.signal }),
      (error) => hasArrived(error),
    );
    world.a.setDown(false);
    assert.equal((await world.recover(await world.driver())).where, 'destination');
    world.expectOne('b');
  });

  test('the source dies for good right after Finish: the VM starts with its host where it is now, and the record says what else is to be done', async () => {
    for (const persistAtDestination of [true, false]) {
      const world = new Orchestrator({ persistAtDestination });
      world.b.on('domainMigrateFinish3Params', { do: 'after', run: () => world.a.setDown(true) });
      await assert.rejects(async () => world.forward(await world.driver()), hasArrived);
      const guest = world.b.guest(UUID);
      assert.deepEqual(
        [guest.persistent, guest.autostart],
        [true, persistAtDestination],
        'its definition stays until the source is tidied',
      );
      const [told = '', ...more] = world.prepared?.atSource?.warnings ?? [];
      assert.match(told, persistAtDestination ? /virsh autostart web/ : /virsh undefine --keep-nvram web/);
      assert.deepEqual(more, []);
      world.a.setDown(false);
      await world.recover(await world.driver());
      assert.equal(world.b.guest(UUID).persistent, persistAtDestination);
      world.expectOne('b');
    }
  });

  test('where two run, or somebody has paused the one at the source, nothing of the destination is changed', async () => {
    for (const state of [STATE.running, STATE.paused]) {
      const world = new Orchestrator();
      const others = (): void => {
        world.a.set(world.a.guest(UUID), state, PAUSED.user);
        throw new Refusal(ERROR.OPERATION_FAILED, 'somebody was faster');
      };
      world.a.on('domainMigrateConfirm3Params', { do: 'hold', before: others });
      await assert.rejects(async () => world.forward(await world.driver()), { code: 'OUTCOME_UNKNOWN', arrived: true });
      assert.equal(world.autostart.b, false);
    }
  });

  test('a source that nobody can connect to: the destination alone says what it knows, and nothing is done', async () => {
    const world = new Orchestrator();
    world.b.on('domainMigrateFinish3Params', { do: 'after', run: () => world.a.setDown(true) });
    await assert.rejects(async () => world.forward(await world.driver()));
    const driver = await world.driver({ unreachable: 'source' });
    for (const seen of [await driver.locate({ signal: world.signal }), await driver.abort({ signal: world.signal })]) {
      assert.deepEqual([seen.source, seen.destination, seen.where], ['unreachable', 'running', 'unknown']);
    }
    world.expectRunning('b');
  });

  test('the destination vanishes with the answer to Finish: nothing is resumed until it is back', async () => {
    const world = new Orchestrator();
    world.b.on('domainMigrateFinish3Params', { do: 'after', run: () => world.b.setDown(true) });
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'OUTCOME_UNKNOWN' });
    const placement = await driver.abort({ signal: world.signal });
    assert.deepEqual([placement.source, placement.destination, placement.where], ['paused', 'unreachable', 'unknown']);
    assert.deepEqual(world.world.running(UUID), ['b']);
    world.b.setDown(false);
    assert.equal((await world.recover(await world.driver())).where, 'destination');
    world.expectOne('b');
  });

  test('the destination vanishes before Finish arrives: nothing is resumed until it says that it is gone', async () => {
    const world = new Orchestrator();
    world.b.on('domainMigrateFinish3Params', { do: 'hold', before: () => world.b.setDown(true) });
    world.b.on('domainMigrateFinish3Params', { do: 'refuse', number: ERROR.OPERATION_FAILED });
    world.b.autoDestroyDelayMs = 60_000;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'OUTCOME_UNKNOWN' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'unknown');
    assert.equal(world.a.guests.get(UUID)?.state, STATE.paused);
  });

  test('the source vanishes before Confirm: the guest runs at the destination, and the source is cleared later', async () => {
    const world = new Orchestrator();
    world.a.on('domainMigrateConfirm3Params', { do: 'hold', before: () => world.a.setDown(true) });
    world.a.on('domainMigrateConfirm3Params', { do: 'cut-before' });
    const driver = await world.driver();
    await assert.rejects(world.forward(driver));
    assert.ok(world.world.running(UUID).includes('b'));
    world.a.setDown(false);
    assert.equal((await world.recover(await world.driver())).where, 'destination');
    world.expectOne('b');
  });

  for (const persistAtDestination of [true, false]) {
    const kept = persistAtDestination ? 'kept' : 'not kept';
    test(`a guest that arrived and was shut down there is never resumed from the old copy (definition ${kept})`, async () => {
      const world = new Orchestrator({ persistAtDestination });
      const shutDown = (): void => {
        world.b.endGuest(UUID);
        world.kill();
      };
      world.b.on('domainMigrateFinish3Params', { do: 'after', run: shutDown });
      await assert.rejects(async () => world.forward(await world.driver()));
      const driver = await world.driver();
      assert.equal((await driver.locate({ signal: world.signal })).where, 'unknown');
      assert.equal((await driver.abort({ signal: world.signal })).where, 'unknown');
      assert.equal(world.a.guests.get(UUID)?.state, STATE.paused);
      assert.deepEqual(world.world.violations, []);
    });
  }

  test('a definition that is not wanted goes only after the source was cleared: an end there resumes nothing', async () => {
    const world = new Orchestrator({ persistAtDestination: false });
    world.b.on('domainUndefineFlags', {
      do: 'after',
      run: () => {
        assert.equal(world.a.guests.has(UUID), false, 'the source is cleared by then');
        world.b.endGuest(UUID);
        world.kill();
      },
    });
    await assert.rejects(async () => world.forward(await world.driver()));
    assert.equal(world.b.guests.has(UUID), false);
    await (await world.driver()).abort({ signal: world.signal });
    assert.deepEqual(world.world.running(UUID), []);
    assert.deepEqual(world.world.violations, []);
  });

  test('the destination is lost while data flows, for good: this run knows that the guest never left', async () => {
    const world = new Orchestrator();
    world.a.onPerform = () => {
      world.b.setDown(true);
      world.b.killClients();
    };
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'CONNECTION_LOST' });
    const { source, destination, where } = await driver.abort({ signal: world.signal });
    assert.deepEqual([source, destination, where], ['running', 'unreachable', 'source']);
    assert.equal((await driver.locate({ signal: world.signal })).where, 'unknown', 'a look alone cannot know');
  });

  for (const isKilled of [false, true]) {
    const who = isKilled ? 'a later run' : 'the same run on new connections';
    test(`the destination is lost while data flows, for good: ${who} knows it by the record`, async () => {
      const world = new Orchestrator();
      world.a.onPerform = () => {
        world.b.setDown(true);
        if (isKilled) world.kill();
        else world.b.killClients();
      };
      await assert.rejects(async () => world.forward(await world.driver()));
      const { signal } = world;
      const driver = await world.driver({ unreachable: 'destination' });
      assert.equal((await driver.abort({ signal })).where, 'unknown', 'it may have been let go');
      const { source, where, moving } = await driver.abort({ signal, pastNoReturn: false });
      assert.deepEqual([source, where, moving], ['running', 'source', false]);
      world.expectRunning('a');
      assert.equal(world.a.guests.get(UUID)?.job ?? null, null, 'nothing goes on');
    });
  }

  test('everything was sent, and the destination is gone: nothing is resumed, whatever the record says', async () => {
    const world = new Orchestrator();
    world.onPointOfNoReturn = async () => {
      world.b.setDown(true);
      world.kill();
    };
    await assert.rejects(async () => world.forward(await world.driver()));
    const driver = await world.driver({ unreachable: 'destination' });
    const { source, where } = await driver.abort({ signal: world.signal, pastNoReturn: false });
    assert.deepEqual([source, where], ['paused', 'unknown']);
  });

  test('peer to peer, only our way to the destination is lost: a cancel stops it all the same, and claims nothing', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    const { promise: performing, resolve: begun } = Promise.withResolvers<void>();
    world.a.onPerform = () => begun();
    const old = world.driver().then((driver) => world.forward(driver));
    old.catch(() => undefined);
    await performing;
    world.kill();
    const { signal } = world;
    const driver = await world.driver({ unreachable: 'destination' });
    assert.equal((await driver.abort({ signal })).moving, true, 'it may have been let go');
    const { source, where, moving } = await driver.abort({ signal, pastNoReturn: false });
    assert.deepEqual([source, where, moving], ['running', 'unknown', false]);
    world.expectRunning('a');
  });

  test('two running copies are reported and left alone', async () => {
    const world = new Orchestrator();
    world.b.addGuest('web', UUID);
    const driver = await world.driver();
    const options = { signal: world.signal };
    assert.equal((await driver.abort(options)).where, 'both');
    const prepared: Prepared = { flows: [], sourceAddresses: [], state: recordedState };
    await assert.rejects(driver.confirm(prepared, options), { code: 'OUTCOME_UNKNOWN' });
    assert.deepEqual(world.world.running(UUID), ['a', 'b']);
  });
});

const recordedState = {
  ...{
    domainName: 'web',
    nvram: null,
    autostart: false,
    keptDisks: [],
    createdVolumes: [],
  },
};

describe('cancelling', () => {
  test('while Perform runs: the guest runs on at the source, nothing is left', async () => {
    const world = new Orchestrator();
    const mind = new AbortController();
    world.a.onPerform = () => setTimeout(() => mind.abort(), 50);
    const driver = await world.driver();
    await assert.rejects(world.forward(driver, AbortSignal.any([mind.signal, world.signal])), { code: 'ABORTED' });
    const placement = await driver.abort({ signal: world.signal });
    assert.deepEqual(placement, { source: 'running', destination: 'absent', where: 'source', moving: false });
    world.expectOne('a');
  });

  test('just as Perform ends: the paused source is resumed by a cancelling Confirm', async () => {
    const world = new Orchestrator();
    const mind = new AbortController();
    world.a.on('domainMigratePerform3Params', { do: 'after', run: () => mind.abort() });
    const driver = await world.driver();
    await assert.rejects(world.forward(driver, AbortSignal.any([mind.signal, world.signal])), { code: 'ABORTED' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    world.expectOne('a');
  });

  test('after prepare alone', async () => {
    const world = new Orchestrator();
    const driver = await world.driver();
    await driver.prepare({ signal: world.signal });
    assert.equal(world.b.guests.size, 1);
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    assert.equal(world.b.guests.size, 0);
    world.expectOne('a');
  });

  test('the connection that keeps the incoming guest is lost during Perform: it stops by itself', async () => {
    const world = new Orchestrator();
    world.b.autoDestroyDelayMs = 60_000;
    world.a.onPerform = () => world.b.cutConnections();
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'CONNECTION_LOST' });
    assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    world.expectOne('a');
  });

  test('abort twice, and with nothing to abort, changes nothing', async () => {
    const world = new Orchestrator();
    const driver = await world.driver();
    for (let time = 0; time < 2; time += 1) {
      assert.equal((await driver.abort({ signal: world.signal })).where, 'source');
    }
    world.expectOne('a');
  });
});

describe('a job that is not ours', () => {
  test('a migration that was under way before we asked for any outlives an abort', async () => {
    const world = new Orchestrator();
    const guest = world.a.guests.get(UUID);
    assert.ok(guest !== undefined);
    guest.foreignJob = OPERATION.migrationOut;
    const driver = await world.driver();
    await assert.rejects(driver.prepare({ signal: world.signal }), { code: 'BUSY' });
    const { where, moving } = await driver.abort({ signal: world.signal, performed: false });
    assert.deepEqual([where, moving], ['source', false]);
    assert.equal(guest.foreignJob, OPERATION.migrationOut);
    assert.ok(!world.a.calls.includes('domainAbortJob'));
  });

  for (const operation of [OPERATION.backup, 0]) {
    test(`keeps a migration out, and outlives an abort (operation ${operation})`, async () => {
      const world = new Orchestrator();
      const guest = world.a.guests.get(UUID);
      assert.ok(guest !== undefined);
      guest.foreignJob = operation;
      const driver = await world.driver();
      await assert.rejects(driver.prepare({ signal: world.signal }), { code: 'BUSY' });
      const { where, moving } = await driver.abort({ signal: world.signal });
      assert.deepEqual([where, moving], ['source', false]);
      assert.equal(guest.foreignJob, operation);
      assert.ok(!world.a.calls.includes('domainAbortJob'));
      world.expectOne('a');
    });
  }

  for (const mode of ['direct', 'peer-to-peer'] as const) {
    test(`that holds the VM while a run is stopped is left alone (${mode})`, async () => {
      const world = new Orchestrator({ mode });
      const mind = new AbortController();
      const guest = world.a.guests.get(UUID);
      assert.ok(guest !== undefined);
      // The daemon lets Perform wait for the backup.
      const backup = async (): Promise<void> => {
        guest.foreignJob = OPERATION.backup;
        mind.abort();
        const looks = () => world.a.calls.filter((name) => name === 'domainGetJobStats').length;
        for (const before = looks(); looks() < before + 3; ) await sleep(20);
        guest.foreignJob = null;
      };
      world.a.on('domainMigratePerform3Params', { do: 'hold', before: backup });
      world.a.onPerform = () => undefined; // until it is aborted
      const driver = await world.driver();
      await assert.rejects(world.forward(driver, AbortSignal.any([mind.signal, world.signal])), { code: 'ABORTED' });
      await driver.abort({ signal: world.signal });
      world.expectOne('a');
    });
  }
});

test('a run that was taken over while it is being stopped aborts nothing any more', async () => {
  const world = new Orchestrator();
  const mind = new AbortController();
  world.a.onPerform = ({ finish }) => {
    void world.driver().then(() => {
      mind.abort();
      setTimeout(finish, 700);
    });
  };
  const driver = await world.driver();
  await assert.rejects(world.forward(driver, AbortSignal.any([mind.signal, world.signal])), { code: 'ABORTED' });
  assert.ok(!world.a.calls.includes('domainAbortJob'));
});

describe('peer to peer', () => {
  test('arrives, and confirm finds it there', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    await world.forward(await world.driver());
    world.expectOne('b');
  });

  test('goes on when the orchestrator is killed; a new run follows it and confirms', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    let end: (() => void) | undefined;
    const { promise: performing, resolve: begun } = Promise.withResolvers<void>();
    world.b.autoDestroyDelayMs = 60_000;
    world.a.onPerform = ({ finish }) => {
      end = finish;
      begun();
    };
    const old = world.driver().then((driver) => world.forward(driver));
    old.catch(() => undefined);
    await performing;
    world.kill();
    const driver = await world.driver();
    assert.equal((await driver.locate({ signal: world.signal })).moving, true);
    setTimeout(() => end?.(), 300);
    await driver.follow({ signal: world.signal, onProgress: () => undefined });
    assert.equal((await world.recover(driver)).where, 'destination');
    world.expectOne('b');
  });

  test('the reply to Finish is lost between the daemons: libvirt makes two, which is told, and we touch neither', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    world.a.losesFinishReply = true;
    const driver = await world.driver();
    await assert.rejects(world.forward(driver), { code: 'STREAM_FAILED' });
    const options = { signal: world.signal };
    assert.deepEqual(world.world.running(UUID), ['a', 'b'], 'the fault was there');
    const both = { source: 'running', destination: 'running', where: 'both', moving: false };
    assert.deepEqual(await driver.locate(options), both);
    assert.deepEqual(await driver.abort(options), both);
    assert.ok(world.prepared !== undefined);
    await assert.rejects(driver.confirm(world.prepared, options), { code: 'OUTCOME_UNKNOWN' });
    assert.deepEqual(await (await world.driver()).locate(options), both);
    assert.deepEqual(world.world.running(UUID), ['a', 'b']);
    const calls = [...world.a.calls, ...world.b.calls];
    for (const name of ['domainDestroy', 'domainResume', 'domainAbortJob', 'domainUndefineFlags'] as const) {
      assert.ok(!calls.includes(name), name);
    }
  });

  test('two copies ran, and one was paused by a person or an error: it is destroyed by nobody', async () => {
    for (const reason of [PAUSED.user, PAUSED.ioError, PAUSED.unknown]) {
      const world = new Orchestrator({ mode: 'peer-to-peer' });
      world.a.losesFinishReply = true;
      await assert.rejects(async () => world.forward(await world.driver()), { code: 'STREAM_FAILED' });
      assert.deepEqual(world.world.running(UUID), ['a', 'b'], 'the fault was there');
      world.a.set(world.a.guest(UUID), STATE.paused, reason);
      const { prepared, signal } = world;
      assert.ok(prepared !== undefined);
      const driver = await world.driver();
      assert.equal((await driver.locate({ signal })).where, 'destination', 'as if it were a leftover');
      await assert.rejects(driver.confirm(prepared, { signal }), {
        code: 'OUTCOME_UNKNOWN',
        message: /no migration has left/,
      });
      assert.deepEqual([world.a.guest(UUID).state, world.a.guest(UUID).persistent], [STATE.paused, true]);
      assert.ok(!world.a.calls.includes('domainDestroy') && !world.a.calls.includes('domainUndefineFlags'));
    }
  });

  test('the guest is let go before anybody can say that there is no return: that is told with what was prepared', async () => {
    for (const [mode, running] of [
      ['direct', []],
      ['peer-to-peer', ['b']],
    ] as const) {
      const world = new Orchestrator({ mode });
      let atNoReturn: readonly string[] | undefined;
      world.onPointOfNoReturn = async () => {
        atNoReturn = world.world.running(UUID);
      };
      await world.forward(await world.driver());
      assert.deepEqual(atNoReturn, running, mode);
      assert.equal(world.prepared?.onlyConfirmLetsGo, mode === 'direct');
    }
  });

  test('a gateway at another port is refused with what to do', async () => {
    const world = new Orchestrator({ mode: 'peer-to-peer' });
    const driver = await world.driver();
    const prepared = await driver.prepare({ signal: world.signal });
    const routes = { memory: { host: '192.0.2.9', port: 1 }, control: { host: '192.0.2.9', port: 2 } };
    const performing = driver.perform(prepared, routes, {
      ...{ signal: world.signal, onProgress: () => undefined, onPointOfNoReturn: async () => undefined },
    });
    await assert.rejects(performing, (error) => pluginErrorCode(error) === 'INVALID_CONFIG');
    await driver.abort({ signal: world.signal });
    world.expectOne('a');
  });
});

test('a run that was taken over has no effect any more', async () => {
  const world = new Orchestrator();
  const driver = await world.driver();
  await world.driver();
  await assert.rejects(driver.prepare({ signal: world.signal }), { code: 'SUPERSEDED' });
  assert.ok(!world.a.calls.includes('domainMigrateBegin3Params'));
  world.expectOne('a');
});
