import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cancelWords, nounOf, retryTitle } from './action-words.ts';

const asked = { source: { endpoint: 'host-a', site: 'a' }, vm: { id: null, name: 'web-1' } };
const running = { powerState: 'running' } as const;

test('a move is asked about as a move, a drill as a drill', () => {
  const move = { ...asked, purpose: 'move', request: running } as const;
  const drill = { ...asked, purpose: 'drill', request: running } as const;
  assert.deepEqual([nounOf(move), nounOf(drill)], ['migration', 'drill']);
  assert.deepEqual([retryTitle(move), retryTitle(drill)], ['Move web-1 again?', 'Rehearse the move of web-1 again?']);
  assert.match(cancelWords(drill), /host-a, running\. Everything that was made for the drill, its copy as well, is/);
});

test('a VM that is powered off stays powered off', () => {
  const off = { ...asked, purpose: 'move', request: { powerState: 'off' } } as const;
  assert.match(cancelWords(off), /stays at host-a, powered off\./);
});
