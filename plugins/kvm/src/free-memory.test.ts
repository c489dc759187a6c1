/** What counts as free memory of a host: what its kernel could give to guests, caches and all. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { FakeWorld } from './testing/fake-libvirt/index.ts';

const GIB = 1024n ** 3n;
const signal = AbortSignal.timeout(60_000);

test('what the page cache holds is available; where the host does not say, libvirt’s own count stands', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  const session = await host.session(signal);
  const freeBytes = async () => (await session.inventory({ signal })).host.memoryFreeBytes;
  host.freeMemoryBytes = GIB;
  host.availableMemoryBytes = 20n * GIB;
  assert.equal(await freeBytes(), Number(20n * GIB));
  host.failingCommands.set('cat', 126);
  assert.equal(await freeBytes(), Number(GIB), 'a login that may not run it');
  host.failingCommands.clear();
  host.availableMemoryBytes = undefined;
  assert.equal(await freeBytes(), Number(GIB), 'a kernel before 3.14');
  await session.close();
});
