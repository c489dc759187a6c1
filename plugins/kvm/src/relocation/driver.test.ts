/** What is its own of KVM when a VM that is off moves: what stands against it, and what happens at the very moment of the change. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import type { PluginResource } from '@lmas/plugin-api';
import { ERROR } from '../rpc/constants.ts';
import { guestXml } from '../testing/fake-libvirt/guest.ts';
import { CopiedRelocationWorld, FakeRelocationWorld } from '../testing/relocation-world.ts';
import { KvmRelocation } from './driver.ts';

let signal: AbortSignal;
beforeEach(() => {
  signal = AbortSignal.timeout(60_000);
});
const ID = 'm_6d4b1f0a-0000-4000-8000-00000000c01d';
const quiet = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

async function relocationIn(world: FakeRelocationWorld, options: object = {}) {
  const journal: PluginResource[] = [];
  const driver = new KvmRelocation(
    await world.connect(),
    {
      ...{ migrationId: ID, vm: world.vm, networkMap: {}, diskMap: {}, bandwidthBytesPerSec: null, tunnelled: false },
      options: { ...FakeRelocationWorld.options, ...options },
    },
    { log: quiet, recordIntent: async (resource) => void journal.push(resource), assertCurrent: async () => undefined },
  );
  const codes = async () =>
    (await driver.check({ signal })).findings.map(({ severity, code }) => `${severity} ${code}`);
  return { driver, journal, codes };
}

const DISK = "<disk type='file' device='disk'><source file='/images/vda.img'/><target dev='vda'/></disk>";
const xmlWith = ({ vm }: FakeRelocationWorld, devices: string, os = '') =>
  `<domain type='kvm'><name>${vm.name}</name><uuid>${vm.id}</uuid><os><type>hvm</type>${os}</os><devices>${devices}</devices></domain>`;

test('what a VM without a process has, and libvirt does not move, is told before', async () => {
  await using world = new FakeRelocationWorld();
  const { codes } = await relocationIn(world);
  assert.deepEqual(await codes(), []);
  const guest = world.source.guest(world.vm.id);
  guest.hasManagedSave = true;
  world.source.snapshots = 2;
  guest.xml = xmlWith(world, "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>");
  assert.deepEqual((await codes()).sort(), ['blocker MANAGED_SAVE', 'blocker SNAPSHOTS', 'blocker TPM_STATE_STAYS']);
});

test('a disk that is no image file is named, and nothing is begun', async () => {
  await using world = new FakeRelocationWorld();
  const disk = "<disk type='block' device='disk'><source dev='/dev/null'/><target dev='vda'/></disk>";
  world.source.guest(world.vm.id).xml = xmlWith(world, disk);
  const { driver, codes, journal } = await relocationIn(world, { disks: 'auto' });
  assert.ok((await codes()).includes('blocker DISK_NOT_COPYABLE'));
  await assert.rejects(driver.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
  assert.deepEqual(
    journal.filter(({ kind }) => kind !== 'autostart'),
    [],
  );
});

async function copying(world: CopiedRelocationWorld) {
  const journal: PluginResource[] = [];
  const driver = new KvmRelocation(
    await world.connect(),
    {
      ...{ migrationId: ID, vm: world.vm, networkMap: {}, diskMap: world.diskMap, tunnelled: false },
      ...{ options: CopiedRelocationWorld.options, bandwidthBytesPerSec: null },
    },
    { log: quiet, recordIntent: async (resource) => void journal.push(resource), assertCurrent: async () => undefined },
  );
  const { findings, diskBytes } = await driver.check({ signal });
  assert.deepEqual([findings, diskBytes > 0], [[], true]);
  const prepared = await driver.prepare({ signal });
  const routes = Object.fromEntries(prepared.flows.map(({ id, host, port }) => [id, { host, port }]));
  await driver.copy(prepared, routes, { signal, onProgress: () => undefined });
  return { driver, journal, prepared };
}

test('a disk that only the source sees is copied to the byte, and stays there', async () => {
  await using world = new CopiedRelocationWorld();
  const { driver, prepared } = await copying(world);
  const { keptAtSource } = await driver.place(prepared, { signal });
  assert.deepEqual(keptAtSource, [{ kind: 'disk', id: world.disk('a') }]);
  for (const site of ['a', 'b'] as const) assert.ok(readFileSync(world.disk(site)).equals(world.content), site);
  assert.match(world.destination.guest(world.vm.id).xml ?? '', new RegExp(world.disk('b')));
  assert.deepEqual(await world.leftovers(), []);
});

test('what the VM wrote after it was copied is not left behind: it stays, and the copy goes', async () => {
  await using world = new CopiedRelocationWorld();
  const { driver, prepared, journal } = await copying(world);
  utimesSync(world.disk('a'), new Date(), new Date(Date.now() + 5_000));
  await assert.rejects(driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
  for (const resource of journal.toReversed()) await driver.release(resource, { signal });
  assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
  assert.deepEqual(await world.leftovers(), []);
});

test('what the destination lacks to start it, and who else has its name or its UEFI variables there, is told', async () => {
  await using world = new FakeRelocationWorld();
  const os = "<loader readonly='yes' type='pflash'>/nowhere/code.fd</loader><nvram>/tmp/web_VARS.fd</nvram>";
  const nic = "<interface type='network'><source network='blue'/></interface>";
  world.source.guest(world.vm.id).xml = xmlWith(world, nic, os);
  const other = xmlWith(world, '', os).replace(world.vm.id, '11111111-2222-3333-4444-555555555555');
  world.destination.define(world.vm.name, '11111111-2222-3333-4444-555555555555', other);
  const { codes } = await relocationIn(world, { undefineAtSource: false });
  assert.deepEqual((await codes()).sort(), [
    'blocker BOOT_FILE_MISSING',
    'blocker FIRMWARE_PLACE_TAKEN',
    'blocker NAME_TAKEN_AT_DESTINATION',
    'blocker NETWORK_MISSING',
    'warning DEFINITION_MOVES',
  ]);
});

test('one that is started in the moment of the change runs on at the source, defined there as before', async () => {
  await using world = new FakeRelocationWorld();
  const { driver, journal } = await relocationIn(world);
  const prepared = await driver.prepare({ signal });
  world.source.on('domainUndefineFlags', { do: 'hold', before: () => world.source.start(world.vm.id) });
  await assert.rejects(driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
  const guest = world.source.guest(world.vm.id);
  assert.deepEqual([guest.persistent, (await driver.locate({ signal })).where], [true, 'source']);
  for (const resource of journal.toReversed()) await driver.release(resource, { signal });
  assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
  assert.equal(guest.autostart, true);
});

test('a definition that the destination refuses leaves the VM as it was', async () => {
  await using world = new FakeRelocationWorld();
  const before = await world.fingerprint();
  const { driver, journal } = await relocationIn(world);
  const prepared = await driver.prepare({ signal });
  world.destination.on('domainDefineXml', { do: 'refuse', number: ERROR.CONFIG_UNSUPPORTED });
  await assert.rejects(driver.place(prepared, { signal }), { code: 'INCOMPATIBLE' });
  for (const resource of journal.toReversed()) await driver.release(resource, { signal });
  assert.equal(await world.fingerprint(), before);
  assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
});

test('networks and disks are mapped as a live move has them', async () => {
  await using world = new FakeRelocationWorld();
  const nic = "<interface type='network'><source network='lan'/></interface>";
  world.source.guest(world.vm.id).xml = xmlWith(world, DISK + nic);
  const driver = new KvmRelocation(
    await world.connect(),
    {
      ...{ migrationId: ID, vm: world.vm, networkMap: { lan: 'default' }, diskMap: { vda: '/srv/shared/web.img' } },
      ...{ options: FakeRelocationWorld.options, bandwidthBytesPerSec: null, tunnelled: false },
    },
    { log: quiet, recordIntent: async () => undefined, assertCurrent: async () => undefined },
  );
  await driver.place(await driver.prepare({ signal }), { signal });
  const { xml } = world.destination.guest(world.vm.id);
  assert.match(xml ?? '', /network="default"/);
  assert.match(xml ?? '', /file="\/srv\/shared\/web.img"/);
  assert.doesNotMatch(xml ?? '', /held-by-lmas|relocation/);
});

test('what was asked of the source and takes its effect late does not take the only definition: the held one is put back', async () => {
  await using world = new FakeRelocationWorld();
  const { driver, journal } = await relocationIn(world);
  const prepared = await driver.prepare({ signal });
  // The daemon waits for another job of the VM before it heeds this.
  world.source.on('domainUndefineFlags', { do: 'cut-before' });
  await assert.rejects(driver.place(prepared, { signal }), { code: 'CONNECTION_LOST' });
  const heeded = () => void world.source.guests.delete(world.vm.id);
  world.destination.on('domainUndefineFlags', { do: 'after', run: heeded });
  const held = journal.find(({ kind }) => kind === 'definition');
  assert.ok(held !== undefined);
  for (const why of ['it is gone while the held one is removed', 'it is gone before']) {
    await assert.rejects(driver.release(held, { signal }), { code: 'BUSY' }, why);
    assert.deepEqual(await world.definitions(), { source: 'absent', destination: 'held' }, why);
  }
  const { sourceDefinition } = await driver.place(prepared, { signal });
  assert.match(sourceDefinition ?? '', /<name>web<\/name>/, 'also by whoever goes on where the source has none');
  assert.deepEqual(await world.definitions(), { source: 'absent', destination: 'startable' });
});

test('one that was started in the moment of the change, and not given its definition back then, is given it before the held one goes', async () => {
  await using world = new FakeRelocationWorld();
  const { driver, journal } = await relocationIn(world);
  const prepared = await driver.prepare({ signal });
  world.source.on('domainUndefineFlags', { do: 'hold', before: () => world.source.start(world.vm.id) });
  for (let time = 0; time < 2; time += 1) world.source.on('domainDefineXml', { do: 'cut-before' });
  await assert.rejects(driver.place(prepared, { signal }), { code: 'CONNECTION_LOST' });
  const guest = world.source.guest(world.vm.id);
  const held = journal.find(({ kind }) => kind === 'definition');
  assert.ok(held !== undefined);
  await assert.rejects(driver.release(held, { signal }), { code: 'CONNECTION_LOST' });
  assert.deepEqual([guest.persistent, (await world.definitions()).destination], [false, 'held']);
  for (const resource of journal.toReversed()) await driver.release(resource, { signal });
  assert.deepEqual([guest.persistent, guest.autostart], [true, true]);
  assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
});

test('a VM that has got another disk since it was copied stays: an overlay, or one more', async () => {
  await using world = new CopiedRelocationWorld();
  const { driver, prepared, journal } = await copying(world);
  const guest = world.source.guest(world.vm.id);
  const before = guestXml(guest, world.source.files);
  const overlay = before.replace('/vda.img', '/vda.snap1').replace("type='raw'", "type='qcow2'");
  const more = DISK.replaceAll('vda', 'vdb');
  for (const xml of [
    overlay,
    before.replace('<devices>', `<devices>${more}`),
    before.replace(/<disk.*<\/disk>/s, ''),
  ]) {
    assert.notEqual(xml, before);
    guest.xml = xml;
    await assert.rejects(driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
    assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
  }
  for (const resource of journal.toReversed()) await driver.release(resource, { signal });
  assert.deepEqual(await world.leftovers(), []);
});

/** A VM with UEFI variables that each host looks for on storage of its own. */
async function withVariables(world: FakeRelocationWorld) {
  const variables = '/run/nvram/web_VARS.fd';
  const root = mkdtempSync(join(tmpdir(), 'lmas-kvm-nvram-'));
  const placeOf = (site: 'a' | 'b') => join(root, site, 'nvram', 'web_VARS.fd');
  for (const [site, host] of [['a', world.source] as const, ['b', world.destination] as const]) {
    mkdirSync(join(root, site, 'nvram'), { recursive: true });
    host.runDirectory = join(root, site);
  }
  world.source.guest(world.vm.id).xml = xmlWith(world, DISK, `<nvram>${variables}</nvram>`);
  const relocation = await relocationIn(world);
  const filesThere = () => readdirSync(join(root, 'b', 'nvram')).map((name) => name.replace(/-[0-9a-f]{16}$/, ''));
  return { ...relocation, placeOf, filesThere, [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }) };
}

test('UEFI variables of a VM that nobody has any more are not taken for those of one that has none yet', async () => {
  await using world = new FakeRelocationWorld();
  using uefi = await withVariables(world);
  writeFileSync(uefi.placeOf('b'), 'of a VM that is gone');
  const prepared = await uefi.driver.prepare({ signal });
  world.destination.on('domainDefineXml', { do: 'hold', before: () => undefined });
  world.destination.on('domainDefineXml', { do: 'cut-before' });
  await assert.rejects(uefi.driver.place(prepared, { signal }), { code: 'CONNECTION_LOST' });
  const { warnings } = await uefi.driver.place(prepared, { signal });
  assert.match(warnings.join(), /are kept as/);
  assert.deepEqual(uefi.filesThere(), ['web_VARS.fd.before']);
});

test('UEFI variables that came along stay in their place, also when what follows has to be done again', async () => {
  await using world = new FakeRelocationWorld();
  using uefi = await withVariables(world);
  writeFileSync(uefi.placeOf('a'), 'of this VM');
  const prepared = await uefi.driver.prepare({ signal });
  world.destination.on('domainDefineXml', { do: 'hold', before: () => undefined });
  world.destination.on('domainDefineXml', { do: 'cut-before' });
  await assert.rejects(uefi.driver.place(prepared, { signal }), { code: 'CONNECTION_LOST' });
  await uefi.driver.place(prepared, { signal });
  assert.deepEqual(uefi.filesThere(), ['web_VARS.fd']);
  assert.equal(readFileSync(uefi.placeOf('b'), 'utf8'), 'of this VM');
});

test('a VM that was started and ended while its UEFI variables were brought stays: they may be older than its disks', async () => {
  for (const before of ['of this VM', null]) {
    await using world = new FakeRelocationWorld();
    using uefi = await withVariables(world);
    const file = uefi.placeOf('a');
    if (before !== null) writeFileSync(file, before);
    const prepared = await uefi.driver.prepare({ signal });
    const run = () => {
      writeFileSync(file, 'of this VM');
      utimesSync(file, new Date(), new Date(Date.now() + 5_000));
    };
    world.destination.on('domainDefineXml', { do: 'after', run });
    await assert.rejects(uefi.driver.place(prepared, { signal }), { code: 'NOT_MIGRATABLE' });
    for (const resource of uefi.journal.toReversed()) await uefi.driver.release(resource, { signal });
    assert.deepEqual(await world.definitions(), { source: 'startable', destination: 'absent' });
    assert.deepEqual(uefi.filesThere(), []);
  }
});

test('a raw image that ends within a sector is copied, with zeros up to its end', async () => {
  await using world = new CopiedRelocationWorld();
  const odd = world.content.subarray(0, world.content.length - 100);
  writeFileSync(world.disk('a'), odd);
  world.source.capacityBytes = BigInt(odd.length);
  const { driver, prepared } = await copying(world);
  await driver.place(prepared, { signal });
  const there = readFileSync(world.disk('b'));
  assert.equal(there.length, world.content.length);
  assert.ok(there.subarray(0, odd.length).equals(odd));
});

test('secrets that the destination lacks are told, and that an encrypted qcow2 image cannot be copied', async () => {
  await using world = new FakeRelocationWorld();
  const secret = '11111111-2222-3333-4444-555555555555';
  const encryption = `<encryption format='luks'><secret type='passphrase' uuid='${secret}'/></encryption>`;
  const file = `${world.source.files}/vda.img`;
  const encrypted = DISK.replace("'/images/vda.img'/>", `'${file}'>${encryption}</source>`);
  const guest = world.source.guest(world.vm.id);
  guest.xml = xmlWith(world, encrypted);
  const { codes } = await relocationIn(world);
  assert.deepEqual(await codes(), ['blocker SECRET_MISSING']);
  world.destination.secrets.add(secret);
  assert.deepEqual(await codes(), []);
  guest.xml = xmlWith(world, encrypted.replace('<source', "<driver name='qemu' type='qcow2'/><source"));
  const copied = await relocationIn(world, { disks: 'copy' });
  assert.ok((await copied.codes()).includes('blocker DISK_ENCRYPTED'));
});
