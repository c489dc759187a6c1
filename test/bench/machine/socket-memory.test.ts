import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sumOfSkmem } from './socket-memory.ts';

test('what sockets hold is summed, limits and drops are not', () => {
  const text = [
    'ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 skmem:(r1000,rb131072,t30,tb87040,f96,w4000,o0,bl20,d7)',
    'LISTEN 0 4 10.0.0.1:3 0.0.0.0:* skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0)',
    'ESTAB 0 0 10.0.0.1:4 10.0.0.2:5 skmem:(r1,rb2,t3,tb4,f5,w6,o7,bl8,d9)',
  ].join('\n\t ');
  assert.equal(sumOfSkmem(text), 1_000 + 96 + 4_000 + 20 + (1 + 5 + 6 + 7 + 8));
  assert.equal(sumOfSkmem(''), 0);
});
