/** A real QEMU: what it sends is what the reader understands, to the last byte. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { build } from '../../../lab/src/build.ts';
import { recording, visit } from '../senders/senders.ts';
import { ContentsReader } from '../stream/contents.ts';
import { PAGE_BYTES } from '../stream/ram-stream.ts';
import { record } from './record.ts';

const MEMORY_MIB = 48;
const FILL_MIB = 16;

test('a guest at work is recorded, pass after pass, and its stream taken apart', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'lmas-record-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  const { signal } = t;
  const guest = {
    memoryMib: MEMORY_MIB,
    kernel: await build('guest.elf'),
    commandLine: `fill=${FILL_MIB} wss=8 dirty=4000`,
    atWork: /^ready\s*$/m,
  };
  const taken = await record(directory, guest, { bytesPerSec: 8e6, seconds: 8, xbzrleBytes: null, signal });
  assert.equal(taken.converged, false, 'it writes twice as fast as QEMU sends');
  assert.ok(taken.passes >= 3, `${taken.passes} passes`);

  const reader = new ContentsReader();
  const given: Buffer[] = [];
  const visitor = {
    other: (bytes: Buffer) => {
      given.push(Buffer.from(bytes));
      reader.other(bytes);
    },
    content: (page: number, bytes: Buffer) => {
      given.push(Buffer.from(bytes));
      reader.content(page, bytes);
    },
    zero: (page: number) => reader.zero(page),
  };
  await visit(recording(taken.file), visitor, signal);
  reader.free();
  assert.ok(Buffer.concat(given).equals(readFileSync(taken.file)), 'every byte, once, in order');
  const { pages, zeroPages, againPages, samePages, similarPages } = reader.contents;
  const firstPages = pages - againPages;
  assert.ok(firstPages >= (FILL_MIB << 20) / PAGE_BYTES, `${firstPages} pages with content`);
  assert.ok(firstPages + zeroPages >= (MEMORY_MIB << 20) / PAGE_BYTES, 'the whole memory in the first pass');
  assert.ok(againPages > 500, `${againPages} pages came again`);
  assert.ok(samePages < againPages / 2, `${samePages} of them as they were: most are written anew as a whole`);
  assert.ok(similarPages < againPages / 10, `${similarPages} similar: what is written has no order`);
});
