import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { drillNames, isOwnFile } from './names.ts';
import { scratchBytes, scratchName, scratchRoom } from './scratch.ts';

const signal = AbortSignal.timeout(30_000);
const GIB = 1024 ** 3;

test('what files of other drills may still grow to is not free', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-scratch-'));
  t.after(() => rmSync(directory, { recursive: true }));
  await using world = new FakeDrillWorld();
  const host = world.source.transport();
  const names = drillNames('m_1', 'o ne');
  const file = scratchName(names, 'vda', 900 * GIB);
  assert.ok(isOwnFile(names, join(directory, file)));
  const before = await scratchRoom(host, directory, { signal });
  const { bavail, bsize } = statfsSync(directory);
  assert.ok(Math.abs(before - bavail * bsize) < 50 * GIB, 'it is what the file system says, but for what others write');
  writeFileSync(join(directory, file), Buffer.alloc(8_192));
  writeFileSync(join(directory, 'mine-drill-x.img'), 'no scratch file');
  const after = await scratchRoom(host, directory, { signal });
  const setAside = before - after;
  assert.ok(Math.abs(setAside - scratchBytes(900 * GIB)) < 50 * GIB, `${setAside}`);
});

test('a scratch file is given more than the disk holds', () => {
  assert.ok(scratchBytes(0) > 0);
  assert.ok(scratchBytes(GIB) > 1.04 * GIB);
});
