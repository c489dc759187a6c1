/**
 * What came to XAPI over the years: each release is sent what its published data model has, and refuses nothing for want of knowing it;
 * what was asked for and cannot be said to it is refused by the check and by `prepare`, and not left out in silence.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationDriver } from '@lmas/plugin-api';
import { plugin, XenWorld } from '../compliance/xen-world.ts';
import { addGpuGroup, addVgpu } from '../lab/xapi/model.ts';
import { assertOneAt, context, driverOf, migrate } from './driving.ts';

const signal = AbortSignal.timeout(120_000);

const guestRef = (world: XenWorld): string => world.source.database.byUuid('VM', world.vm.id) ?? '';

/** The guest has a virtual GPU, and the destination two groups. */
function withGpu({ source, destination, vm }: XenWorld) {
  const vgpu = addVgpu(
    source.database,
    source.database.byUuid('VM', vm.id) ?? '',
    addGpuGroup(source.database, 'grey'),
  );
  const [, large] = ['small', 'large'].map((name) => addGpuGroup(destination.database, name));
  return { vgpu, large: large ?? '' };
}

function setBuild({ source: { database } }: XenWorld, build: string): void {
  for (const [ref, { software_version: software }] of database.table('host')) {
    database.update('host', ref, { software_version: { ...(software as Record<string, string>), xapi_build: build } });
  }
}

const blockersOf = async (driver: MigrationDriver): Promise<string[]> =>
  (await driver.check({ signal })).findings.flatMap(({ severity, code }) => (severity === 'blocker' ? [code] : []));

async function assertRefused(driver: MigrationDriver, code: string): Promise<void> {
  assert.deepEqual(await blockersOf(driver), [code]);
  await assert.rejects(driver.prepare({ signal }), { code: 'INCOMPATIBLE' });
}

test('an old release gets six parameters and no option that it does not know, and the check says so', async () => {
  await using world = await XenWorld.make({ oldRelease: true });
  const driver = await driverOf(world, { options: { compress: true, force: true } });
  const { findings } = await driver.check({ signal });
  assert.ok(findings.some(({ severity, code }) => severity === 'warning' && code === 'COMPRESSION_NOT_THERE'));
  await migrate(driver);
  assertOneAt(world, 'destination');
  for (const method of ['VM.assert_can_migrate', 'Async.VM.migrate_send']) {
    const params = world.source.lastParams(method);
    assert.deepEqual([params.length, params[5]], [6, { force: 'true' }], method);
  }
});

test('a release that compresses is told what was asked for, and nothing else', async () => {
  for (const [options, told] of [
    [{}, {}],
    [{ compress: false }, { compress: 'false' }],
  ] as const) {
    await using world = await XenWorld.make();
    await migrate(await driverOf(world, { options }));
    assert.deepEqual(world.source.lastParams('Async.VM.migrate_send')[5], told);
  }
});

test('a virtual GPU gets the group that was asked for', async () => {
  await using world = await XenWorld.make();
  const { vgpu, large } = withGpu(world);
  await migrate(await driverOf(world, { options: { gpuGroup: 'large' } }));
  for (const method of ['VM.assert_can_migrate', 'Async.VM.migrate_send']) {
    assert.deepEqual(world.source.lastParams(method).slice(6), [{ [vgpu]: large }], method);
  }
  const [arrived] = world.destination.guest(world.vm.id).VGPUs as string[];
  assert.equal(world.destination.database.need('VGPU', arrived ?? '').GPU_group, large);
});

test('a GPU group that cannot be had is refused', async () => {
  await using world = await XenWorld.make();
  await assertRefused(await driverOf(world, { options: { gpuGroup: 'large' } }), 'GPU_GROUP_NOT_POSSIBLE');
  withGpu(world);
  await assertRefused(await driverOf(world, { options: { gpuGroup: 'huge' } }), 'GPU_GROUP_NOT_POSSIBLE');
  await using old = await XenWorld.make({ oldRelease: true });
  withGpu(old);
  await assertRefused(await driverOf(old, { options: { gpuGroup: 'large' } }), 'GPU_GROUP_NOT_POSSIBLE');
});

test('inside one pool a GPU group is refused, too', async () => {
  await using world = await XenWorld.make();
  addVgpu(world.source.database, guestRef(world), addGpuGroup(world.source.database, 'grey'));
  const sessions = ['alpha-1', 'alpha-2'].map((host) => world.session(world.source, undefined, undefined, [host]));
  const [source, destination] = (await Promise.all(sessions)) as [never, never];
  const request = {
    ...{ migrationId: 'm_1', vm: world.vm, networkMap: {}, diskMap: {}, convergence: 'balanced' as const },
    ...{ maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: false },
    options: plugin.optionsSchema.parse({ gpuGroup: 'grey' }),
  };
  await assertRefused(plugin.migration({ source, destination }, request, context), 'GPU_GROUP_NOT_POSSIBLE');
});

test('the newest release is told the format of the copied disks; its dry run is not, for that has no such parameter', async () => {
  await using world = await XenWorld.make();
  setBuild(world, '26.15.1-2.3.xcpng9');
  await migrate(await driverOf(world, { options: { diskFormat: 'qcow2' } }));
  assert.equal(world.source.lastParams('VM.assert_can_migrate').length, 6);
  const [vgpus, formats] = world.source.lastParams('Async.VM.migrate_send').slice(6);
  assert.deepEqual([vgpus, Object.values(formats as object)], [{}, ['qcow2', 'qcow2']]);
  const disks = [...world.destination.database.table('VDI').values()];
  assert.deepEqual(
    disks.map(({ sm_config: config }) => config),
    [{ 'image-format': 'qcow2' }, { 'image-format': 'qcow2' }],
  );
});

test('a format that cannot be told, or is for no disk, is refused', async () => {
  await using world = await XenWorld.make();
  setBuild(world, '26.14.0');
  await assertRefused(await driverOf(world, { options: { diskFormat: 'vhd' } }), 'DISK_FORMAT_NOT_POSSIBLE');
  setBuild(world, '26.15.0');
  world.source.database.update('VM', guestRef(world), { VBDs: [] });
  await assertRefused(await driverOf(world, { options: { diskFormat: 'vhd' } }), 'DISK_FORMAT_NOT_POSSIBLE');
});
