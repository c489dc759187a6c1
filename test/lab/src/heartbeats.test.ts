import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Heartbeat, readHeartbeats, reportOf, tellApart, witnessPosition } from './heartbeats.ts';
import type { SiteName } from './names.ts';

const UUID = '12345678-9abc-def0-1234-56789abcdef0';
const MAC = '52:54:00:bc:de:f0';

const beat = (site: SiteName, timeMs: number, counter: number): Heartbeat => ({
  site,
  timeMs,
  counter,
  writes: 0,
  nonce: '',
  mac: MAC,
});

test('the downtime is the silence in which the guest moved', () => {
  const report = reportOf([beat('a', 0, 1), beat('a', 5, 2), beat('b', 105, 3), beat('b', 110, 4)]);
  assert.deepEqual(report.moves, [{ ms: 100, fromMs: 5, fromSite: 'a', toSite: 'b', unheard: 0 }]);
  assert.equal(report.longestGap?.ms, 100);
  assert.deepEqual([report.repeated, report.bySite.a, report.bySite.b], [0, 2, 2]);
});

test('a second copy repeats a number, even if the two never speak at the same time', () => {
  const report = reportOf([beat('a', 0, 1), beat('a', 5, 2), beat('b', 20, 3), beat('a', 40, 3), beat('a', 45, 4)]);
  assert.equal(report.repeated, 1);
  assert.deepEqual(report.firstRepeated, beat('a', 40, 3));
});

test('heartbeats nobody heard are not taken for a second copy', () => {
  const report = reportOf([beat('a', 0, 1), beat('b', 50, 9)]);
  assert.deepEqual([report.repeated, report.moves[0]?.unheard], [0, 7]);
});

test('what another NIC sends in the VM’s name is a copy’s, and neither repeats nor moves the VM', () => {
  const ofCopy = (timeMs: number, counter: number) => ({ ...beat('b', timeMs, counter), mac: '52:54:00:00:00:01' });
  const { own, fromOtherNics } = tellApart([beat('a', 0, 8), ofCopy(1, 1), beat('a', 5, 9), ofCopy(6, 2)], MAC);
  assert.deepEqual(fromOtherNics, { a: 0, b: 2 });
  assert.deepEqual(own, [beat('a', 0, 8), beat('a', 5, 9)]);
});

test('nothing heard is nothing claimed', () => {
  assert.deepEqual(reportOf([]), {
    count: 0,
    bySite: { a: 0, b: 0 },
    longestGap: undefined,
    moves: [],
    repeated: 0,
    firstRepeated: undefined,
    last: undefined,
  });
});

/** A witness file of `capacity` records of which `written` were ever written. */
function ring(directory: string, capacity: number, written: number, uuidOf: (n: number) => string): string {
  const file = Buffer.alloc(64 + capacity * 64);
  file.write('LMASHB01');
  file.writeUInt32LE(64, 8);
  file.writeUInt32LE(capacity, 12);
  file.writeBigUInt64LE(BigInt(written), 16);
  for (let n = 0; n < written; n++) {
    const at = 64 + (n % capacity) * 64;
    file.writeBigUInt64LE(BigInt(n) * 5_000_000n, at);
    file.write(uuidOf(n).replaceAll('-', ''), at + 8, 'hex');
    file.writeBigUInt64LE(BigInt(n), at + 24);
    file.writeBigUInt64LE(BigInt(n * 2), at + 32);
    file.write('00112233aabbccdd', at + 40, 'hex');
    file.writeUInt32LE(n % 2, at + 48);
    file.write(MAC.replaceAll(':', ''), at + 52, 'hex');
  }
  const path = join(directory, 'ring');
  writeFileSync(path, file);
  return path;
}

test('a reader gets its guest’s records, from where it left off, round the end of the ring', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lab-ring-'));
  try {
    const other = UUID.replace('1', '2');
    const path = ring(directory, 10, 25, (n) => (n % 5 === 0 ? other : UUID));
    assert.equal(witnessPosition(path), 25);
    const all = readHeartbeats(path, UUID, 0);
    assert.equal(all.position, 25);
    assert.deepEqual(
      all.heartbeats.map(({ counter }) => counter),
      [16, 17, 18, 19, 21, 22, 23, 24],
    );
    assert.deepEqual(all.heartbeats[0], {
      ...{ timeMs: 80, site: 'a', counter: 16, writes: 32 },
      ...{ nonce: '00112233aabbccdd', mac: MAC },
    });
    assert.deepEqual(
      readHeartbeats(path, other, 19).heartbeats.map(({ counter }) => counter),
      [20],
    );
    assert.deepEqual(readHeartbeats(path, UUID, 25).heartbeats, []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
