/** What the checks leave to XAPI's own verdict: had beside ours, told under its own name, and never twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { XenWorld } from '../compliance/xen-world.ts';
import type { XapiRecord } from '../lab/xapi/database.ts';
import { addVbd, addVdi } from '../lab/xapi/model.ts';
import { driverOf, perform } from './driving.ts';

const signal = AbortSignal.timeout(110_000);

const guestRef = ({ source, vm }: XenWorld): string => source.database.byUuid('VM', vm.id) ?? '';
const setVm = (world: XenWorld, fields: XapiRecord): void =>
  world.source.database.update('VM', guestRef(world), fields);
const refuse = ({ source }: XenWorld, code: string): void => {
  source.faults.refuse = { method: 'VM.assert_can_migrate', code };
};
const findingsOf = async (world: XenWorld) => (await (await driverOf(world)).check({ signal })).findings;
const found = async (world: XenWorld) => (await findingsOf(world)).map(({ code, severity }) => `${code} ${severity}`);

test('XAPI’s own refusal is a finding under its own name', async () => {
  await using world = await XenWorld.make();
  const before = world.destination.sessions.count;
  refuse(world, 'LICENCE_RESTRICTION');
  const [finding, ...more] = await findingsOf(world);
  assert.deepEqual([finding?.code, finding?.severity, more], ['LICENCE_RESTRICTION', 'blocker', []]);
  assert.match(finding?.remedy ?? '', /^License every host of both pools/, 'and what to do about it is said');
  assert.equal(world.destination.sessions.count, before + 1, 'that of the check: the session of the dry run was ended');
});

test('XAPI is asked beside what we have found, and adds what it alone knows', async () => {
  await using world = await XenWorld.make();
  setVm(world, { VUSBs: ['OpaqueRef:usb'] });
  refuse(world, 'VM_INCOMPATIBLE_WITH_THIS_HOST');
  assert.deepEqual(await found(world), ['USB_DEVICE blocker', 'VM_INCOMPATIBLE_WITH_THIS_HOST blocker']);
  refuse(world, 'VM_HAS_VUSBS');
  assert.deepEqual(await found(world), ['USB_DEVICE blocker'], 'what is said already is not said again');
  const asked = () => world.source.calls.filter((method) => method === 'VM.assert_can_migrate').length;
  const before = asked();
  setVm(world, { current_operations: { 'OpaqueRef:task': 'migrate_send' } });
  await found(world);
  assert.equal(asked(), before, 'a dry run would get in the way of what moves it');
});

test('a disc in a drive hinders nothing: XAPI ejects it', async () => {
  await using world = await XenWorld.make();
  const { database, faults } = world.source;
  const [sr = ''] = database.table('SR').keys();
  const disc = addVdi(database, sr, { uuid: 'disc', name_label: 'iso', virtual_size: 1024 });
  addVbd(database, guestRef(world), disc, '3');
  const [drive = ''] = database.find('VBD', ({ VDI }) => VDI === disc) ?? [];
  database.update('VBD', drive, { type: 'CD', empty: false });
  assert.deepEqual(await found(world), ['DISC_INSERTED warning']);
  faults.failAt = 'memory';
  const driver = await driverOf(world);
  const prepared = await driver.prepare({ signal });
  await assert.rejects(perform(driver, prepared), { code: 'STREAM_FAILED' });
  assert.equal(database.need('VBD', drive).empty, true);
});
