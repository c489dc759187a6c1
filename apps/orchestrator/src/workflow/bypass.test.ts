import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bypassInWords } from './bypass.ts';

const GIB = 2 ** 30;
const said = (deliveredBytes: number | null, memoryBytes: number | null, movedBytes: number | null = null) =>
  bypassInWords({ deliveredBytes, memoryBytes, movedBytes, hosts: ['esx-1', 'esx-2'] });

test('a tunnel that carried less than a tenth of the memory was passed by, and it is said where to look', () => {
  assert.match(said(0, GIB) ?? '', /^NOT_THROUGH_TUNNEL: .* 0\.0 MiB of a VM with 1024\.0 MiB .*esx-1 and esx-2/);
  for (const movedBytes of [GIB, 2 * GIB]) {
    assert.notEqual(said(GIB / 10 - 1, GIB, movedBytes), null);
    assert.equal(said(GIB / 10 + 1, GIB, movedBytes), null);
  }
});

test('where the hypervisor counts nothing, no more is asked for than any guest has that has come up', () => {
  assert.equal(said(200 << 20, 64 * GIB), null, 'a large guest that has just started');
  assert.notEqual(said((64 << 20) - 1, 64 * GIB), null);
  assert.notEqual(said(2 << 20, 128 << 20), null);
  assert.equal(said(13 << 20, 128 << 20), null, 'a tenth of a small one');
});

test('where the hypervisor counts what it moved, a guest that hardly uses its memory is no reason to worry', () => {
  assert.equal(said(50 << 20, 8 * GIB, 60 << 20), null);
  assert.notEqual(said(1 << 20, 8 * GIB, 60 << 20), null);
  assert.notEqual(said(50 << 20, GIB, 4 * GIB), null, 'what the guest wrote meanwhile need not be held against it');
});

test('where nobody knows nothing is said', () => {
  assert.equal(said(null, GIB), null);
  assert.equal(said(0, null), null);
});
