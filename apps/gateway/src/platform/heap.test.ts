// In a process of its own: what it has resident is nobody else's.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { test } from 'node:test';
import { nativeSockets } from './sockets.ts';

const program = `
  import { readFileSync } from 'node:fs';
  const [{ SlabPool }, { giveBackMemory }] = [await import(process.argv[1]), await import(process.argv[2])];
  const residentMiB = () => Number(/VmRSS:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;
  const pool = new SlabPool();
  const idle = residentMiB();
  // Raises the size from which the C library asks the system for each by itself, as a frame of 1 MiB does.
  for (let turn = 0; turn < 2; turn += 1) pool.acquire(1 << 20).bytes.fill(1);
  const burst = (() => {
    const slabs = Array.from({ length: 4_000 }, (_, at) => pool.acquire(at % 8 === 0 ? 64 << 10 : 16 << 10));
    for (const slab of slabs) slab.bytes.fill(1);
    const resident = residentMiB();
    // The last of them outlives the rest.
    for (const slab of slabs.slice(0, -1)) slab.release();
    return resident;
  })();
  const done = [giveBackMemory()];
  pool.trim();
  pool.trim();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const letGo = residentMiB();
  done.push(giveBackMemory());
  // The collector frees in the background.
  while (process.memoryUsage().arrayBuffers > 16 << 20) await new Promise((resolve) => setTimeout(resolve, 5));
  const collected = residentMiB();
  done.push(giveBackMemory());
  console.log(JSON.stringify({ idle, burst, letGo, collected, after: residentMiB(), done: [...done, giveBackMemory()] }));
`;

test('what a burst took goes back to the system, not to the C library alone', {
  skip: nativeSockets ? false : 'koffi is missing',
}, (t) => {
  const modules = ['slab.ts', 'heap.ts'].map((file) => path.join(import.meta.dirname, file));
  const said = execFileSync(process.execPath, ['--input-type=module', '-e', program, ...modules], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  t.diagnostic(said.trim());
  const { idle, burst, letGo, collected, after, done } = JSON.parse(said);
  assert.ok(burst > idle + 90, 'it was a burst');
  assert.ok(letGo > idle + 60 && collected > idle + 60, 'neither does it alone');
  // What the pool keeps, and some of the collector's own.
  assert.ok(after < idle + 30, `${after} MiB, ${idle} before`);
  assert.deepEqual(done, ['nothing', 'collected', 'given back', 'nothing'], 'only when it is worth it');
});
