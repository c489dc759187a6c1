/** What may go wrong around the one call that moves a VM, by either of a vCenter's doors. The lab's vCenters do it on command. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { MigrationProgress } from '@lmas/plugin-api';
import { createVmwarePlugin } from '@lmas/plugin-vmware';
import { EXPECTED_CODES } from '../../plugins/vmware/src/testing/fault-codes.ts';
import { plugin, VM } from '../compliance/vmware-world.ts';
import type { FaultEffect } from '../lab/vsphere/faults.ts';
import { uuidOf } from '../lab/vsphere/inventory/seed.ts';
import type { VcenterSpec, VmSpec } from '../lab/vsphere/inventory/spec.ts';
import { alpha, beta, VCENTER_LOGIN, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { Rehearsal, reached } from './rehearsal.ts';

const MOVE = 'RelocateVM_Task';
/** Waits for what may still come as long as a busy machine needs to let it come. */
const patient = createVmwarePlugin({ settleMs: 4_000, lateMs: 30_000 });
/** Does not wait long for a task that will not begin. */
const hasty = async (rehearsal: Rehearsal) =>
  createVmwarePlugin({ settleMs: 4_000, lateMs: 1_500, unansweredMs: 4_000 }).migration(
    await rehearsal.world.connect(),
    rehearsal.request(),
    rehearsal.context(),
  );
const LONGER_THAN_IT_SETTLES_MS = 6_000;
/** As long as a recovery has; the rest of these tests are for what it decides when that is over. */
const steady = createVmwarePlugin({ settleMs: 30_000 });
/** What a cancel may come to without being one: no answer at all, and a fault of a vCenter that fails at something else. */
const NOTHING_CAME: Readonly<Record<string, FaultEffect>> = {
  'its packets are dropped': { kind: 'hang', done: false },
  'the vCenter fails at it': { kind: 'fault', fault: { name: 'HostCommunication' } },
};
const DOORS = ['soap', 'json'] as const;

/** DRS moves what storage lets it move. */
function onSharedStorage(): Partial<VcenterSpec> {
  const { hosts } = alpha([vmSpec('shop', { disks: [{ sizeBytes: 1024 ** 2, datastore: 'shared' }] })]);
  return { hosts: hosts.map((host) => ({ ...host, gateways: { vmotion: '127.1.1.1' } })) };
}

/** A running copy of the VM at the host where it goes: the same BIOS UUID, another instance UUID. */
const withCopy = (copy: VmSpec): Partial<VcenterSpec> => {
  const { hosts } = beta([{ ...copy, disks: [{ sizeBytes: 1024 ** 2, datastore: 'beta-store' }] }]);
  return { hosts: hosts.map((host) => ({ ...host, gateways: { vmotion: '127.1.2.1' } })) };
};

for (const protocol of DOORS) {
  const rehearse = (body: (rehearsal: Rehearsal) => Promise<void>) => async (): Promise<void> => {
    await using rehearsal = await Rehearsal.make({ protocol });
    await body(rehearsal);
    assert.equal(rehearsal.world.maxRunningCopies(), 1, 'never two copies at one instant');
    assert.deepEqual(rehearsal.world.violations(), []);
  };

  describe(`a session of a vCenter (${protocol})`, { concurrency: 4 }, () => {
    test(
      'a login that is refused is tried once, then and later',
      rehearse(async ({ world }) => {
        await assert.rejects(world.session('source', {}, 'wrong'), { code: 'LOGIN_REFUSED' });
        assert.equal(world.source.endpoint.calls.filter((call) => call === 'Login').length, 1);
        const session = await world.session('source');
        const refused = { kind: 'fault', fault: { name: 'InvalidLogin' } } as const;
        world.source.endpoint.faults.add({ method: 'Login', effect: refused });
        world.source.endpoint.sessions.endAll();
        const asks = [1, 2, 3].map(() => session.inventory({ signal: AbortSignal.timeout(10_000) }));
        for (const ask of asks) await assert.rejects(ask, { code: 'LOGIN_REFUSED' });
        await assert.rejects(session.inventory({ signal: AbortSignal.timeout(10_000) }), { code: 'LOGIN_REFUSED' });
        assert.equal(world.source.endpoint.calls.filter((call) => call === 'Login').length, 3);
        assert.equal((session.closed.reason as { code?: string }).code, 'LOGIN_REFUSED');
      }),
    );

    test(
      'one that has run out is renewed, by one login for all who need it, and the inventory goes on',
      rehearse(async ({ world, signal }) => {
        const session = await world.session('source');
        const before = await session.inventory({ signal });
        world.source.endpoint.sessions.endAll();
        const after = await Promise.all([1, 2, 3, 4].map(() => session.inventory({ signal })));
        for (const inventory of after) assert.deepEqual(inventory, before);
        assert.equal(world.source.endpoint.calls.filter((call) => call === 'Login').length, 2);
      }),
    );

    test(
      'one that nobody uses is kept alive, and does not run out',
      rehearse(async ({ world, signal }) => {
        const { endpoint } = world.source;
        endpoint.sessions.idleLimitMs = 1_000;
        const lively = createVmwarePlugin({ keepAliveMs: 100 });
        const session = await world.session('source', {}, VCENTER_LOGIN.password, lively);
        // So many that it would have run out between the first and the last.
        let questions = 0;
        await new Promise<void>((resolve) => {
          endpoint.onCall = (method) => {
            if (method === 'CurrentTime') questions += 1;
            if (questions === 15) resolve();
          };
        });
        await session.inventory({ signal });
        assert.equal(endpoint.calls.filter((call) => call === 'Login').length, 1);
      }),
    );

    test(
      'it speaks what it was told, and ends with the session',
      rehearse(async ({ world }) => {
        const session = await world.session('source');
        await session.close();
        await session.close();
        assert.equal(world.source.endpoint.calls.filter((call) => call === 'Logout').length, 1);
      }),
    );
  });

  describe(`the call that moves a VM (${protocol})`, { concurrency: 4 }, () => {
    test(
      'its session is gone when it comes: it is made again, and once only has an effect',
      rehearse(async (rehearsal) => {
        rehearsal.world.source.endpoint.faults.add({ method: MOVE, times: 1, effect: { kind: 'expire-session' } });
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
        assert.equal(rehearsal.world.source.endpoint.moves.length, 1);
      }),
    );

    test(
      'the session ends in the middle: the task is followed all the same',
      rehearse(async (rehearsal) => {
        const { world } = rehearsal;
        world.whilePerforming(() => world.source.endpoint.sessions.endAll());
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual(world.running(), ['esx-b1']);
        assert.equal(rehearsal.count(MOVE), 1);
      }),
    );

    test(
      'its answer is lost, and it had begun: the task is found, and the call is not made again',
      rehearse(async (rehearsal) => {
        rehearsal.world.source.endpoint.faults.add({ method: MOVE, effect: { kind: 'drop', done: true } });
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
        assert.equal(rehearsal.count(MOVE), 1);
      }),
    );

    test(
      'its answer is lost, and it had not begun: nothing moves, and the call is not made again',
      rehearse(async (rehearsal) => {
        rehearsal.world.source.endpoint.faults.add({ method: MOVE, effect: { kind: 'drop', done: false } });
        const driver = await hasty(rehearsal);
        await assert.rejects(rehearsal.move(driver), { code: 'CONNECTION_LOST' });
        assert.deepEqual([rehearsal.world.running(), rehearsal.count(MOVE)], [['esx-a1'], 1]);
        assert.equal((await driver.abort({ signal: rehearsal.signal })).where, 'source');
      }),
    );

    test(
      'its answer is lost, and it begins long after: the task is found, and followed',
      rehearse(async (rehearsal) => {
        const { faults, gates } = rehearsal.world.source.endpoint;
        const late = gates.hold('late move');
        faults.add({ method: MOVE, effect: { kind: 'late', name: 'late move' } });
        const moving = rehearsal.move(await rehearsal.driver());
        await reached(late, moving);
        await delay(LONGER_THAN_IT_SETTLES_MS);
        gates.release('late move');
        await moving;
        assert.deepEqual([rehearsal.world.running(), rehearsal.count(MOVE)], [['esx-b1'], 1]);
      }),
    );

    test(
      'a proxy answers for a service that restarts: that is no other program, the call is not made again, and a question is',
      rehearse(async (rehearsal) => {
        const { faults } = rehearsal.world.source.endpoint;
        const away = { kind: 'http', status: 503, body: '503 Service Unavailable' } as const;
        const driver = await hasty(rehearsal);
        faults.set([
          { method: 'FindByUuid', times: 1, effect: away },
          { method: MOVE, effect: away },
        ]);
        await assert.rejects(rehearsal.move(driver), { code: 'CONNECTION_LOST' });
        assert.deepEqual([rehearsal.world.running(), rehearsal.count(MOVE)], [['esx-a1'], 1]);
        faults.set([{ effect: away }]);
        await assert.rejects(rehearsal.world.session('source'), { code: 'CONNECTION_LOST' });
        faults.set([{ effect: { ...away, status: 404 } }]);
        await assert.rejects(rehearsal.world.session('source'), { code: 'INVALID_CONFIG' });
        faults.set([]);
      }),
    );

    test(
      'a question whose connection ends is asked again, on the way to it and after it',
      rehearse(async (rehearsal) => {
        const drop = { kind: 'drop', done: false } as const;
        for (const method of ['FindByUuid', 'CreateContainerView', 'RetrievePropertiesEx'])
          rehearsal.world.source.endpoint.faults.add({ method, skip: 1, times: 1, effect: drop });
        rehearsal.world.destination.endpoint.faults.add({ method: 'FindAllByUuid', times: 1, effect: drop });
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual([rehearsal.world.running(), rehearsal.count(MOVE)], [['esx-b1'], 1]);
      }),
    );

    for (const gate of ['queued', 'half', 'switchover'] as const) {
      test(
        `a cancel at “${gate}” leaves the VM at the source`,
        rehearse(async (rehearsal) => {
          const { gates } = rehearsal.world.source.endpoint;
          const mind = new AbortController();
          const driver = await rehearsal.driver();
          const prepared = await driver.prepare({ signal: rehearsal.signal });
          const there = gates.hold(gate).then(() => mind.abort());
          await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
          await there;
          const { where, moving } = await driver.abort({ signal: rehearsal.signal });
          assert.deepEqual([where, moving, rehearsal.world.running()], ['source', false, ['esx-a1']]);
        }),
      );
    }

    test(
      'a cancel whose call is lost is asked again, and comes',
      rehearse(async (rehearsal) => {
        const { gates, faults } = rehearsal.world.source.endpoint;
        faults.add({ method: 'CancelTask', times: 1, effect: { kind: 'drop', done: false } });
        const mind = new AbortController();
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        const there = gates.hold('half').then(() => mind.abort());
        await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
        await there;
        assert.deepEqual([rehearsal.count('CancelTask'), rehearsal.world.running()], [2, ['esx-a1']]);
      }),
    );

    test(
      'a cancel at which the vCenter fails is told, and asked again, and comes',
      rehearse(async (rehearsal) => {
        const { gates, faults } = rehearsal.world.source.endpoint;
        const effect = { kind: 'fault', fault: { name: 'SystemError', fields: { reason: 'vpxd' } } } as const;
        faults.add({ method: 'CancelTask', times: 2, effect });
        const mind = new AbortController();
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        const there = gates.hold('half').then(() => mind.abort());
        await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
        await there;
        assert.equal(rehearsal.log.filter((line) => /nothing came of the cancel/.test(line)).length, 1);
        assert.deepEqual([rehearsal.count('CancelTask'), rehearsal.world.running()], [3, ['esx-a1']]);
      }),
    );

    test(
      'a cancel that is refused is told, and the move goes on',
      rehearse(async (rehearsal) => {
        const { endpoint } = rehearsal.world.source;
        const fields = { object: endpoint.objects.byName('VirtualMachine', VM.name), privilegeId: 'Global.CancelTask' };
        endpoint.faults.add({
          method: 'CancelTask',
          effect: { kind: 'fault', fault: { name: 'NoPermission', fields } },
        });
        endpoint.onCall = (method) => {
          if (method === 'CancelTask') setImmediate(() => endpoint.gates.release('half'));
        };
        const mind = new AbortController();
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        const there = endpoint.gates.hold('half').then(() => mind.abort());
        await rehearsal.perform(driver, prepared, mind.signal);
        await there;
        assert.match(rehearsal.log.join(), /does not let the move be cancelled/);
        assert.deepEqual([rehearsal.count('CancelTask'), rehearsal.world.running()], [1, ['esx-b1']]);
      }),
    );

    test(
      'a vCenter that answers with a fault how the task is says nothing of the task',
      rehearse(async (rehearsal) => {
        const { gates, faults } = rehearsal.world.source.endpoint;
        const there = gates.hold('half').then(() => {
          const effect = { kind: 'fault', fault: { name: 'SystemError', fields: { reason: 'vpxd' } } } as const;
          faults.add({ method: 'RetrievePropertiesEx', times: 1, effect });
          gates.release('half');
        });
        await rehearsal.move(await rehearsal.driver());
        await there;
        assert.ok(!/reports a failure/.test(rehearsal.log.join()), rehearsal.log.join());
        assert.deepEqual([rehearsal.world.running(), rehearsal.count(MOVE)], [['esx-b1'], 1]);
      }),
    );

    test(
      'a cancel that cannot be taken yet is asked for again, and comes',
      rehearse(async (rehearsal) => {
        const { gates, faults } = rehearsal.world.source.endpoint;
        faults.add({ method: 'CancelTask', times: 2, effect: { kind: 'fault', fault: { name: 'NotSupported' } } });
        const mind = new AbortController();
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        const there = gates.hold('queued').then(() => mind.abort());
        await assert.rejects(rehearsal.perform(driver, prepared, mind.signal), { code: 'ABORTED' });
        await there;
        assert.deepEqual([rehearsal.count('CancelTask'), rehearsal.world.running()], [3, ['esx-a1']]);
      }),
    );

    test(
      'where every watch of the task is gone at once, the task is looked at all the same, and not without a pause',
      rehearse(async (rehearsal) => {
        const { gates, faults } = rehearsal.world.source.endpoint;
        const obj = { type: 'PropertyCollector', value: 'gone' };
        const fault = { name: 'ManagedObjectNotFound', fields: { obj } };
        faults.add({ method: 'WaitForUpdatesEx', effect: { kind: 'fault', fault } });
        const there = gates.hold('half');
        const moving = rehearsal.move(await rehearsal.driver());
        await reached(there, moving);
        const before = rehearsal.count('WaitForUpdatesEx');
        await delay(2_000);
        const more = rehearsal.count('WaitForUpdatesEx') - before;
        gates.release('half');
        await moving;
        assert.ok(more <= 5, `${more} in two seconds`);
        assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
      }),
    );

    for (const lateCancel of ['ignored', 'NotSupported'] as const) {
      test(
        `a cancel after the point of no return is too late, and the VM arrives (it is answered: ${lateCancel})`,
        rehearse(async (rehearsal) => {
          const { gates, dialect, calls } = rehearsal.world.source.endpoint;
          dialect.lateCancel = lateCancel;
          const mind = new AbortController();
          const cancelled = new Promise<void>((resolve) => {
            rehearsal.world.source.endpoint.onCall = (method) => {
              if (method === 'CancelTask') setImmediate(resolve);
            };
          });
          const there = gates.hold('arrived').then(async () => {
            mind.abort();
            await cancelled;
            gates.release('arrived');
          });
          const driver = await rehearsal.driver();
          const prepared = await driver.prepare({ signal: rehearsal.signal });
          await rehearsal.perform(driver, prepared, mind.signal);
          await there;
          await driver.confirm(prepared, { signal: rehearsal.signal });
          assert.deepEqual([rehearsal.world.running(), calls.includes('CancelTask')], [['esx-b1'], true]);
        }),
      );
    }

    test(
      'a vCenter that compares fingerprints letter by letter believes ours',
      rehearse(async (rehearsal) => {
        rehearsal.world.source.endpoint.dialect.thumbprintCase = 'upper';
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
      }),
    );

    test(
      'a cancel is confirmed, and the VM moves all the same: it is seen where it is',
      rehearse(async (rehearsal) => {
        const { world } = rehearsal;
        const { endpoint } = world.source;
        endpoint.tasks.lateSuccess = true;
        const mind = new AbortController();
        endpoint.onCall = (method) => {
          if (method === 'CancelTask') setImmediate(() => endpoint.gates.release('half'));
        };
        const there = endpoint.gates.hold('half').then(() => mind.abort());
        const driver = patient.migration(await world.connect(), rehearsal.request(), rehearsal.context());
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        await rehearsal.perform(driver, prepared, mind.signal);
        await there;
        assert.equal((await driver.locate({ signal: rehearsal.signal })).where, 'destination');
        assert.deepEqual(world.running(), ['esx-b1']);
      }),
    );

    test(
      'the other vCenter gives the VM a new instance UUID: it is found by what it keeps, and the record is told',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        world.destination.endpoint.dialect.newInstanceUuid = true;
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal });
        await rehearsal.perform(driver, prepared);
        assert.deepEqual(world.source.runsAt(VM.instanceUuid), []);
        assert.equal((await driver.locate({ signal })).where, 'destination');
        const next = await rehearsal.driver();
        // Nobody who has not seen where it was sent to can tell it from a copy.
        assert.equal((await next.locate({ signal })).where, 'unknown');
        const { warnings } = await next.confirm(prepared, { signal });
        assert.match(warnings.join(), /new instance UUID/);
      }),
    );

    for (const newInstanceUuid of [false, true]) {
      test(`a copy of the VM is not taken for it (new instance UUID: ${newInstanceUuid})`, async () => {
        const copy = { ...VM, instanceUuid: uuidOf('instance', 'copy'), name: 'copy' };
        await using rehearsal = await Rehearsal.make({ protocol, destination: withCopy(copy) });
        const { world, signal } = rehearsal;
        world.destination.endpoint.dialect.newInstanceUuid = newInstanceUuid;
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal });
        assert.equal((await driver.locate({ signal })).where, 'source');
        await rehearsal.perform(driver, prepared);
        assert.equal((await driver.locate({ signal })).where, 'destination');
        const { warnings } = await driver.confirm(prepared, { signal });
        assert.equal(
          warnings.some((text) => text.includes('new instance UUID')),
          newInstanceUuid,
          warnings.join(),
        );
        assert.ok(!warnings.join().includes(copy.instanceUuid));
        assert.deepEqual(world.violations(), []);
      });
    }

    test(
      'the task reports a failure when the VM runs at the destination already: that is an arrival',
      rehearse(async (rehearsal) => {
        const fault = { name: 'GenericVmConfigFault', fields: { reason: 'Timed out at 99 %' } };
        rehearsal.world.source.endpoint.relocation.failAfterArrival = fault;
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal: rehearsal.signal });
        await rehearsal.perform(driver, prepared);
        assert.match(rehearsal.log.join(), /runs at the destination/);
        await driver.confirm(prepared, { signal: rehearsal.signal });
        assert.deepEqual(rehearsal.world.running(), ['esx-b1']);
      }),
    );

    test(
      'the connections between the hosts break: the task fails, the VM stays, and may be moved again',
      rehearse(async (rehearsal) => {
        const { world } = rehearsal;
        world.whilePerforming(() => world.source.host('esx-a1').cutConnections());
        const driver = await rehearsal.driver();
        await assert.rejects(rehearsal.move(driver), (error: { native?: { name: string } }) => {
          return error.native?.name === 'GenericVmConfigFault';
        });
        assert.equal((await driver.abort({ signal: rehearsal.signal })).where, 'source');
        await rehearsal.move(await rehearsal.driver());
        assert.deepEqual(world.running(), ['esx-b1']);
      }),
    );
  });

  describe(`after a crash (${protocol})`, { concurrency: 4 }, () => {
    /** A run that is gone while half of the bytes are there. */
    const killedHalfWay = async (rehearsal: Rehearsal) => {
      const { world } = rehearsal;
      const there = world.source.endpoint.gates.hold('half');
      const old = await rehearsal.driver();
      const moving = assert.rejects(rehearsal.move(old));
      await reached(there, moving);
      world.killOrchestrator();
      await moving;
      return await rehearsal.driver();
    };

    test(
      'a move that goes on is seen, followed to its end, and never triggered again',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        const driver = await killedHalfWay(rehearsal);
        const { where, moving } = await driver.locate({ signal });
        assert.deepEqual([where, moving], ['source', true]);
        const progress: MigrationProgress[] = [];
        await driver.follow({
          signal,
          onProgress: (each) => {
            progress.push(each);
            world.source.endpoint.gates.release('half');
          },
        });
        assert.deepEqual(new Set(progress.map(({ bytesTotal }) => bytesTotal)), new Set([VM.memoryBytes]));
        assert.deepEqual((await driver.locate({ signal })).where, 'destination');
        assert.deepEqual([world.running(), rehearsal.count(MOVE)], [['esx-b1'], 1]);
      }),
    );

    test(
      'it is cancelled if that was wanted',
      rehearse(async (rehearsal) => {
        const driver = await killedHalfWay(rehearsal);
        const { where, moving } = await driver.abort({ signal: rehearsal.signal });
        assert.deepEqual([where, moving, rehearsal.world.running()], ['source', false, ['esx-a1']]);
      }),
    );

    for (const [how, effect] of Object.entries(NOTHING_CAME)) {
      test(
        `it is cancelled if that was wanted, also when nothing came of the first call (${how})`,
        rehearse(async (rehearsal) => {
          await killedHalfWay(rehearsal);
          rehearsal.world.source.endpoint.faults.add({ method: 'CancelTask', times: 1, effect });
          const next = steady.migration(await rehearsal.world.connect(), rehearsal.request(), rehearsal.context());
          const { where, moving } = await next.abort({ signal: rehearsal.signal });
          assert.deepEqual([where, moving, rehearsal.world.running()], ['source', false, ['esx-a1']]);
          assert.match(rehearsal.log.join(), /nothing came of the cancel/);
        }),
      );
    }

    for (const lost of [false, true]) {
      test(
        `it is cancelled, and arrives a moment after that: it is waited for (the answer is lost: ${lost})`,
        rehearse(async (rehearsal) => {
          const { endpoint } = rehearsal.world.source;
          await killedHalfWay(rehearsal);
          endpoint.tasks.lateSuccess = true;
          endpoint.onCall = (method) => {
            if (method === 'CancelTask') setImmediate(() => endpoint.gates.release('half'));
          };
          if (lost) endpoint.faults.add({ method: 'CancelTask', times: 1, effect: { kind: 'drop', done: true } });
          const next = patient.migration(await rehearsal.world.connect(), rehearsal.request(), rehearsal.context());
          const { where } = await next.abort({ signal: rehearsal.signal });
          assert.deepEqual([where, rehearsal.world.running()], ['destination', ['esx-b1']]);
        }),
      );
    }

    test(
      'a move of before this migration had begun is somebody else’s, and left alone',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        const driver = await killedHalfWay(rehearsal);
        const { moving } = await driver.abort({ signal, performed: false });
        assert.deepEqual([moving, world.source.endpoint.calls.includes('CancelTask')], [true, false]);
        world.source.endpoint.gates.release('half');
        await driver.follow({ signal, onProgress: () => undefined });
        assert.deepEqual(world.running(), ['esx-b1']);
      }),
    );

    test(
      'the source vCenter dies in the middle and comes back: its hosts went on, and the VM is found',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        const there = world.source.endpoint.gates.hold('half');
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal });
        const noProgress = new AbortController();
        const moving = rehearsal.perform(driver, prepared, noProgress.signal).catch((error: unknown) => error);
        await reached(there, moving);
        await world.source.kill();
        await world.source.restart();
        // Whether they do nobody can see, so it is waited for until the orchestrator has waited long enough.
        setTimeout(() => noProgress.abort(), LONGER_THAN_IT_SETTLES_MS);
        await moving;
        const next = await rehearsal.driver();
        for (;;) {
          signal.throwIfAborted();
          const { where, moving: onItsWay } = await next.locate({ signal });
          if (!onItsWay && where !== 'unknown') break;
          await next.follow({ signal, onProgress: () => undefined });
        }
        assert.equal(world.running().length, 1);
        assert.equal(rehearsal.count(MOVE), 0, 'the new vCenter process was not asked to move it again');
      }),
    );

    test(
      'the source vCenter comes back at once and has forgotten the move: it is waited for, and nothing else is said before',
      rehearse(async (rehearsal) => {
        const { world, signal } = rehearsal;
        world.source.endpoint.relocation.bytesPerSec = 2 * 1024 ** 2;
        const driver = await rehearsal.driver();
        const prepared = await driver.prepare({ signal });
        const moved = rehearsal.perform(driver, prepared);
        moved.catch(() => undefined);
        while (!rehearsal.progress.some(({ percent }) => (percent ?? 0) >= 10)) {
          signal.throwIfAborted();
          await delay(20);
        }
        await world.source.kill();
        await world.source.restart();
        await moved;
        assert.deepEqual(world.running(), ['esx-b1']);
        const { warnings } = await driver.confirm(prepared, { signal });
        assert.match(warnings.join(), /reported a failure all the same: The vCenter has forgotten the task/);
      }),
    );
  });
}

test('every fault that is translated comes through as its code, answered at once and by the task', async () => {
  await using rehearsal = await Rehearsal.make({});
  const { faults } = rehearsal.world.source.endpoint;
  const driver = await rehearsal.driver();
  const prepared = await driver.prepare({ signal: rehearsal.signal });
  for (const [name, code] of EXPECTED_CODES) {
    // A session that is refused again and again, and a cancel that is waited for, are told of above.
    if (['RequestCanceled', 'NotAuthenticated'].includes(name)) continue;
    const fault = { name };
    const effects: FaultEffect[] = [
      { kind: 'fault', fault },
      { kind: 'task-fault', fault },
    ];
    for (const effect of effects) {
      faults.set([{ method: MOVE, effect }]);
      await assert.rejects(
        rehearsal.perform(driver, prepared),
        (error: { code: string; native?: { name: string } }) => {
          assert.deepEqual([error.native?.name, error.code], [name, code], effect.kind);
          return true;
        },
      );
    }
  }
  assert.deepEqual(rehearsal.world.running(), ['esx-a1']);
});

test('the destination’s password is in no note, log or error, also when a vCenter quotes it', async () => {
  await using rehearsal = await Rehearsal.make({});
  const { password } = VCENTER_LOGIN;
  const { endpoint } = rehearsal.world.source;
  const driver = await rehearsal.driver();
  const prepared = await driver.prepare({ signal: rehearsal.signal });
  const said: string[] = [JSON.stringify(prepared)];
  for (const kind of ['fault', 'task-fault'] as const) {
    const fields = { reason: `login with ${password} failed` };
    endpoint.faults.set([
      { method: MOVE, effect: { kind, fault: { name: 'GenericVmConfigFault', fields, message: fields.reason } } },
    ]);
    await rehearsal.perform(driver, prepared).catch((error: Error & { native?: object }) => {
      said.push(
        error.message,
        error.stack ?? '',
        String(error.cause),
        JSON.stringify(error),
        JSON.stringify(error.native),
      );
    });
  }
  const fault = { name: 'GenericVmConfigFault', fields: { reason: password }, message: `it is ${password}` };
  endpoint.faults.set([]);
  endpoint.checks = { errors: [fault] };
  said.push(JSON.stringify(await driver.check({ signal: rehearsal.signal })));
  assert.match(said.join(), /login with … failed/);
  assert.match(said.join(), /it is …/);
  assert.ok(![...said, ...rehearsal.log].join('\n').includes(password));
  // It went where it has to go, and the test would find it.
  assert.ok(JSON.stringify(endpoint.lastParameters(MOVE)).includes(password));
  assert.ok(
    JSON.stringify(endpoint.lastParameters(MOVE)).includes(rehearsal.world.destination.certificate?.thumbprint ?? '?'),
  );
});

test('a vCenter that is not the one that was registered hears no password', async () => {
  await using rehearsal = await Rehearsal.make({});
  const { world } = rehearsal;
  const other = Array(32).fill('AB').join(':');
  await assert.rejects(world.session('source', { tlsFingerprints: [other] }), { code: 'HOST_KEY_MISMATCH' });
  const seen = world.source.certificate?.fingerprint ?? '?';
  await assert.rejects(
    world.session('source', { tlsFingerprints: [] }),
    (error: { code: string; message: string; remedy?: string }) => {
      assert.equal(error.code, 'HOST_KEY_MISMATCH');
      assert.ok(error.message.includes(seen), error.message);
      assert.match(error.remedy ?? '', /tlsFingerprints of the endpoint, or give the CA/);
      return true;
    },
  );
  // Signed by a CA that is trusted, for another name.
  const misnamed = { tlsFingerprints: [], caCertificate: world.source.certificate?.cert, host: 'localhost' };
  await assert.rejects(world.session('source', misnamed), { code: 'HOST_KEY_MISMATCH', message: /ALTNAME/ });
  assert.ok(!world.source.endpoint.calls.includes('Login'));
  const trusted = await world.session('source', { tlsFingerprints: [], caCertificate: world.source.certificate?.cert });
  assert.ok((await trusted.inventory({ signal: rehearsal.signal })).vms.some(({ id }) => id === VM.instanceUuid));
});

test('the door is chosen by what the vCenter says', async () => {
  const spoken = async (source: { apiVersion?: string; viJson?: boolean }, settings: Record<string, unknown> = {}) => {
    await using rehearsal = await Rehearsal.make({ source });
    const session = await rehearsal.world.session('source', settings);
    const steps = await Array.fromAsync(session.verify?.({ signal: rehearsal.signal }) ?? []);
    return /spoken as (\S+);/.exec(steps[0]?.seen ?? '')?.[1];
  };
  assert.equal(await spoken({ apiVersion: '6.7.3' }), 'SOAP');
  assert.equal(await spoken({ apiVersion: '8.0.2.0' }), 'VI/JSON');
  assert.equal(await spoken({ apiVersion: '8.0.2.0', viJson: false }), 'SOAP');
  assert.equal(await spoken({ apiVersion: '8.0.2.0' }, { protocol: 'soap' }), 'SOAP');
  await assert.rejects(spoken({ apiVersion: '7.0' }, { protocol: 'json' }), { code: 'INVALID_CONFIG' });
  await assert.rejects(spoken({ apiVersion: '6.0' }), { code: 'INVALID_CONFIG' });
});

test('a VM that goes to another host between check and move is not to be had: nobody has been told of that pair', async () => {
  await using rehearsal = await Rehearsal.make({ source: onSharedStorage() });
  const { world, signal } = rehearsal;
  const driver = await rehearsal.driver();
  await driver.check({ signal });
  const ends = {
    source: await world.session('source', { hosts: ['esx-a1'] }),
    destination: await world.session('source', { hosts: ['esx-a2'] }),
  };
  const request = { ...rehearsal.request(), migrationId: 'm_00000000-0000-4000-8000-00000000000b' };
  const balancing = plugin.migration(ends, request, rehearsal.context());
  await rehearsal.move(balancing);
  assert.deepEqual(world.running(), ['esx-a2']);
  await assert.rejects(driver.prepare({ signal }), { code: 'BUSY' });
  assert.equal(rehearsal.count(MOVE), 1);
});

test('a session of another plugin is refused', () => {
  assert.throws(() => plugin.migration({} as never, {} as never, {} as never), { code: 'INVALID_CONFIG' });
});
