/** How fast guests write, measured at a scripted daemon: what is told, what is not, and that it is nobody's blocker. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Load } from '@lmas/plugin-api';
import { optionsSchema } from './config.ts';
import { KvmMigration } from './migration/driver.ts';
import { ERROR, OPERATION, STATE } from './rpc/constants.ts';
import { type FakeHost, FakeWorld } from './testing/fake-libvirt/index.ts';

const UUID = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const BUSY_UUID = '5dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const MIB = 1024 ** 2;
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };
const signal = AbortSignal.timeout(60_000);
const refuse = async (): Promise<never> => assert.fail('a check changes nothing');

let root: string;
let a: FakeHost;
let b: FakeHost;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'lmas-dirty-rate-'));
  writeFileSync(join(root, 'vda.img'), Buffer.alloc(1_048_576, 1));
  const world = new FakeWorld();
  a = world.addHost('a', root);
  b = world.addHost('b', root);
  a.addGuest('web', UUID);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

async function check() {
  const ends = { source: await a.session(signal), destination: await b.session(signal) };
  const request = {
    ...{ migrationId: 'm_1', vm: { id: UUID, name: 'web' }, options: optionsSchema.parse({}), networkMap: {} },
    ...{ diskMap: {}, convergence: 'balanced' as const, maxDowntimeMs: null, bandwidthBytesPerSec: null },
    tunnelled: false,
  };
  const driver = new KvmMigration(ends, request, { log, assertCurrent: refuse, recordIntent: refuse });
  try {
    const { findings, dirtyRateBytesPerSec, dirtyRateErrorBytesPerSec } = await driver.check({ signal });
    const said = findings.filter(({ code }) => code === 'DIRTY_RATE_UNKNOWN');
    return { dirtyRateBytesPerSec, dirtyRateErrorBytesPerSec, said };
  } finally {
    await ends.source.close();
    await ends.destination.close();
  }
}

test('a check measures the guest that runs, and knows how exact that is', async () => {
  a.dirtyMibPerSec = 8;
  assert.deepEqual(await check(), {
    ...{ dirtyRateBytesPerSec: 8 * MIB, dirtyRateErrorBytesPerSec: 4 * MIB, said: [] },
  });
  a.dirtyMibPerSec = 0;
  const idle = await check();
  assert.deepEqual([idle.dirtyRateBytesPerSec, idle.dirtyRateErrorBytesPerSec], [0, 2 * MIB], 'one page more or less');
  assert.equal(a.calls.filter((call) => call === 'domainStartDirtyRateCalc').length, 2, 'measured anew each time');
  assert.ok(!b.calls.includes('domainStartDirtyRateCalc'));
});

test('what cannot be measured is not known, and the reason is a note', async () => {
  const why = async () => {
    const { dirtyRateBytesPerSec, said } = await check();
    assert.equal(dirtyRateBytesPerSec, null);
    assert.deepEqual(
      said.map(({ severity }) => severity),
      ['note'],
    );
    return said[0]?.message ?? '';
  };
  a.libvirtVersion = 7_001_000n;
  assert.match(await why(), /libvirt 7\.2 or later is needed/);
  a.libvirtVersion = 9_000_000n;
  a.on('domainStartDirtyRateCalc', { do: 'refuse', number: ERROR.CONFIG_UNSUPPORTED });
  assert.match(await why(), /refused by script/);
  a.guest(UUID).foreignJob = OPERATION.backup;
  assert.match(await why(), /another job of the VM is under way/);
  assert.equal(
    a.calls.filter((call) => call === 'domainStartDirtyRateCalc').length,
    1,
    'libvirt would have let it wait',
  );
});

test('a guest that stands still writes nothing that could be measured', async () => {
  Object.assign(a.guest(UUID), { state: STATE.paused });
  const { dirtyRateBytesPerSec, said } = await check();
  assert.deepEqual([dirtyRateBytesPerSec, said], [null, []]);
  assert.ok(!a.calls.includes('domainStartDirtyRateCalc'));
});

test('the load has dirty rates when they are asked for, over its own interval, and never those of somebody else', async () => {
  a.addGuest('busy', BUSY_UUID);
  a.guest(BUSY_UUID).foreignJob = OPERATION.backup;
  for (const guest of a.guests.values()) guest.dirtyRate = { mibPerSec: 99, isOver: true };
  const session = await a.session(signal);
  const rates = ({ vms }: Load) => new Map(vms.map(({ id, dirtyRateBytesPerSec }) => [id, dirtyRateBytesPerSec]));
  const begun = () => a.calls.filter((call) => call === 'domainStartDirtyRateCalc').length;
  assert.deepEqual([...rates(await session.load({ signal, intervalMs: 50 })).values(), begun()], [null, null, 0]);
  const short = await session.load({ signal, intervalMs: 1_000, dirtyRates: true });
  assert.deepEqual([...rates(short).values(), begun()], [null, null, 0], 'too short for the shortest measurement');
  a.guest(UUID).dirtyRate = { mibPerSec: 99, isOver: true };
  const measured = session.load({ signal, intervalMs: 2_000, dirtyRates: true });
  const looking = setInterval(() => {
    const { dirtyRate } = a.guest(UUID);
    if (dirtyRate !== null && dirtyRate.mibPerSec === a.dirtyMibPerSec) dirtyRate.isOver = true;
  }, 20);
  assert.deepEqual(
    rates(await measured),
    new Map([
      [UUID, 7 * MIB],
      [BUSY_UUID, null],
    ]),
  );
  clearInterval(looking);
  a.libvirtVersion = 7_001_000n;
  const older = await session.load({ signal, intervalMs: 2_000, dirtyRates: true });
  assert.deepEqual([...rates(older).values(), begun()], [null, null, 1]);
  await session.close();
});

test('a guest whose QEMU cannot tell fails neither the load of its host nor the rates of the others', async () => {
  a.addGuest('old', BUSY_UUID);
  a.withoutDirtyRates.add(BUSY_UUID);
  const session = await a.session(signal);
  const plain = await session.load({ signal, intervalMs: 50 });
  assert.deepEqual(
    plain.vms.map(({ memoryBytes, dirtyRateBytesPerSec }) => [memoryBytes, dirtyRateBytesPerSec]),
    [
      [64 * MIB, null],
      [64 * MIB, null],
    ],
  );
  const measured = session.load({ signal, intervalMs: 2_000, dirtyRates: true });
  while (a.guest(UUID).dirtyRate === null) await nextTurn();
  Object.assign(a.guest(UUID).dirtyRate ?? assert.fail(), { isOver: true });
  const { vms } = await measured;
  assert.deepEqual(
    vms.map(({ id, dirtyRateBytesPerSec }) => [id, dirtyRateBytesPerSec]),
    [
      [UUID, 7 * MIB],
      [BUSY_UUID, null],
    ],
  );
  await session.close();
});
