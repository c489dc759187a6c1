import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { FakeDrillWorld } from '../testing/drill-world.ts';
import { cacheFor } from './receiver.ts';

test('what is received goes to the disk at once, whether or not the file system can go around the cache', async (t) => {
  const signal = AbortSignal.timeout(30_000);
  await using world = new FakeDrillWorld();
  const directory = mkdtempSync(join(tmpdir(), 'lmas-receiver-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const destination = { transport: world.destination.transport() };
  const file = join(directory, 'a.img');
  writeFileSync(file, 'kept');
  assert.equal(await cacheFor(destination, file, { signal }), 'none');
  assert.equal(await cacheFor(destination, '/proc/version', { signal }), 'writethrough', 'procfs refuses O_DIRECT');
});
