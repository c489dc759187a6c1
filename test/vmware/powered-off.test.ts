/** Guests that end in or after a move: where the VM is then, and whether that is beyond doubt. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { VM } from '../compliance/vmware-world.ts';
import { uuidOf } from '../lab/vsphere/inventory/seed.ts';
import type { VcenterSpec } from '../lab/vsphere/inventory/spec.ts';
import { beta, vmSpec } from '../lab/vsphere/two-vcenters.ts';
import { Rehearsal, reached } from './rehearsal.ts';

describe('a guest that is shut down', { concurrency: 4 }, () => {
  for (const oneVCenter of [false, true]) {
    test(`after its arrival has arrived, and the record is told (${oneVCenter ? 'one vCenter' : 'two vCenters'})`, async () => {
      await using rehearsal = await Rehearsal.make({ oneVCenter });
      const { world, signal } = rehearsal;
      const driver = await rehearsal.driver();
      const prepared = await driver.prepare({ signal });
      // It runs at the destination, and the task is still to say so.
      const { gates } = world.source.endpoint;
      const there = gates.hold('arrived').then(() => {
        world.destination.shutDown(VM.instanceUuid);
        gates.release('arrived');
      });
      await rehearsal.perform(driver, prepared);
      await there;
      const next = await rehearsal.driver();
      for (const each of [driver, next]) {
        const { warnings } = await each.confirm(prepared, { signal });
        assert.match(warnings.join(), /shop is powered off at the destination/);
      }
      const { destination, where, atRest } = await next.locate({ signal });
      assert.deepEqual([destination, where, atRest], ['stopped', 'destination', true]);
      assert.equal((await next.abort({ signal })).where, 'destination');
      assert.deepEqual([world.running(), world.maxRunningCopies(), world.violations()], [[], 1, []]);
    });
  }

  test('while it is not there yet has not arrived: it is at the source, beyond doubt once nothing moves it', async () => {
    await using rehearsal = await Rehearsal.make();
    const { world, signal } = rehearsal;
    const { gates } = world.source.endpoint;
    const half = gates.hold('half');
    const driver = await rehearsal.driver();
    const moving = rehearsal.move(driver);
    await reached(half, moving);
    world.source.shutDown(VM.instanceUuid);
    const meanwhile = await driver.locate({ signal });
    assert.deepEqual([meanwhile.source, meanwhile.moving, meanwhile.atRest], ['stopped', true, undefined]);
    world.source.host('esx-a1').cutConnections();
    gates.release('half');
    await assert.rejects(moving);
    const { source, where, moving: isMoving, atRest } = await driver.abort({ signal });
    assert.deepEqual([source, where, isMoving, atRest], ['stopped', 'source', false, true]);
    assert.deepEqual(world.violations(), []);
  });

  test('at the source is not surely there where the destination has a VM of the same BIOS UUID', async () => {
    const twin = vmSpec('copy', {
      ...{ uuid: VM.uuid, instanceUuid: uuidOf('instance', 'copy'), poweredOn: false },
      disks: [{ sizeBytes: 1024 ** 2, datastore: 'beta-store' }],
    });
    const destination: Partial<VcenterSpec> = { hosts: beta([twin]).hosts };
    await using rehearsal = await Rehearsal.make({ destination });
    rehearsal.world.source.shutDown(VM.instanceUuid);
    const driver = await rehearsal.driver();
    const { source, destination: there, where, atRest } = await driver.locate({ signal: rehearsal.signal });
    assert.deepEqual([source, there, where, atRest], ['stopped', 'absent', 'source', undefined]);
  });
});
