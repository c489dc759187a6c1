/** What `confirm` says of where the guest has arrived, against what `prepare` noted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import { assertOneAt, driverOf, perform } from './driving.ts';

const signal = AbortSignal.timeout(110_000);

test('an arrival that is not as it was meant is reported, and is an arrival', async () => {
  const changes: readonly (readonly [change: (world: XenWorld) => void, expected: RegExp])[] = [
    [
      ({ destination: { database }, vm }) => {
        const elsewhere = { resident_on: database.byName('host', 'beta-2') };
        database.update('VM', database.byUuid('VM', vm.id) ?? '', elsewhere);
      },
      /^The VM runs on beta-2, and was to run on beta-1\.$/,
    ],
    [
      ({ destination: { database } }) => {
        const [sr = ''] = database.table('SR').keys();
        const other = database.add('SR', { ...database.need('SR', sr), uuid: 'other', name_label: 'other' });
        const [vdi = ''] = database.table('VDI').keys();
        database.update('VDI', vdi, { SR: other });
      },
      /^Disk xvda is on storage "other", and was to be on "storage of beta"\.$/,
    ],
    [
      ({ destination: { database }, vm }) => {
        const ref = database.byUuid('VM', vm.id) ?? '';
        const [first = ''] = database.need('VM', ref).VBDs as string[];
        database.update('VM', ref, { VBDs: [first] });
      },
      /^The VM has no disk xvdb at the destination\.$/,
    ],
    [
      ({ destination }) => {
        destination.faults.refuse = { method: 'VBD.get_record', code: 'HANDLE_INVALID' };
      },
      /nobody has seen whether on the host and storage that were meant: .*HANDLE_INVALID/,
    ],
    [() => undefined, /^$/],
  ];
  for (const [change, expected] of changes) {
    await using world = await XenWorld.make();
    const driver = await driverOf(world, { options: { destinationHost: 'beta-1' } });
    const prepared = await driver.prepare({ signal });
    await perform(driver, prepared);
    change(world);
    const { warnings } = await driver.confirm(prepared, { signal });
    assert.match(warnings.join(), expected);
    assertOneAt(world, 'destination');
  }
});
