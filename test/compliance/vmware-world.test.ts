/** The world that the vSphere tests are made in takes itself down, also when it could not be made. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { beta } from '../lab/vsphere/two-vcenters.ts';
import { VmwareWorld } from './vmware-world.ts';

const listeners = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPServerWrap').length;

test('a world whose second vCenter cannot start leaves nothing of the first', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-world-'));
  const { TMPDIR } = process.env;
  process.env.TMPDIR = directory;
  t.after(async () => {
    if (TMPDIR === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = TMPDIR;
    await rm(directory, { recursive: true, force: true });
  });
  const before = listeners();
  // An address of documentation (RFC 5737), which no machine has: the host cannot listen there.
  const destination = beta([], { management: ['127.0.2.11'], vmotion: ['203.0.113.11'], prefixLength: 24 });
  await assert.rejects(VmwareWorld.make({ destination }), { code: 'EADDRNOTAVAIL' });
  // A server that has closed counts for some turns of the event loop still.
  for (let turn = 0; turn < 1_000 && listeners() > before; turn += 1) await setImmediate();
  assert.deepEqual([listeners(), await readdir(directory)], [before, []]);
});
