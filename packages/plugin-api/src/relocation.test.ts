/** Where a VM is that is moved while it is off: every pair of answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type RelocatedPresence, whereRelocated } from './relocation.ts';

const THERE: readonly RelocatedPresence[] = ['stopped', 'running', 'paused', 'incoming'];

test('while the source has its definition, that one counts, whatever is held at the destination or silent', () => {
  for (const source of THERE) {
    for (const destination of ['absent', 'held', 'unreachable'] as const)
      assert.equal(whereRelocated(source, destination), 'source', `${source}, ${destination}`);
    for (const destination of THERE) assert.equal(whereRelocated(source, destination), 'both');
  }
});

test('a source that answers that it knows no such VM has let it go, if the destination has it', () => {
  for (const destination of [...THERE, 'held'] as const)
    assert.equal(whereRelocated('absent', destination), 'destination');
  for (const destination of ['absent', 'unreachable'] as const)
    assert.equal(whereRelocated('absent', destination), 'unknown');
});

test('a silent source says nothing', () => {
  for (const destination of [...THERE, 'held', 'absent', 'unreachable'] as const)
    assert.equal(whereRelocated('unreachable', destination), 'unknown');
});
