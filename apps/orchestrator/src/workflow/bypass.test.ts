import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bypassInWords } from './bypass.ts';

const GIB = 2 ** 30;
const said = (deliveredBytes: number | null, memoryBytes: number | null, movedBytes: number | null = null) =>
  bypassInWords({ deliveredBytes, memoryBytes, movedBytes, hosts: ['esx-1', 'esx-2'] });

test('a tunnel that carried less than a tenth of the memory was passed by, and it is said where to look', () => {
  assert.match(said(0, GIB) ?? '', /^NOT_THROUGH_TUNNEL: .* 0\.0 MiB of a VM with 1024\.0 MiB .*esx-1 and esx-2/);
  assert.notEqual(said(GIB / 10 - 1, GIB), null);
  assert.equal(said(GIB / 10 + 1, GIB), null);
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
