import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SteadyLoss } from './steady-loss.ts';

const stepMs = 20;
const stepBytes = 100_000;

/** A link of 40 ms; each phase lasts `ms`, under `state` with a queue, and loses a share of what is sent. */
function lossOf(phases: readonly { ms: number; state: 'startup' | 'paced'; queueMs: number; lost: number }[]) {
  const loss = new SteadyLoss();
  let [nowMs, sentBytes, retransmittedBytes] = [0, 0, 0];
  for (const { ms, state, queueMs, lost } of phases) {
    for (const end = nowMs + ms; nowMs < end; nowMs += stepMs) {
      sentBytes += stepBytes;
      retransmittedBytes += stepBytes * lost;
      const sample = { nowMs, sentBytes, retransmittedBytes, deliveredBytes: 0, rttMs: 40, minRttMs: 40 };
      loss.note(sample, { state, queueMs });
    }
  }
  return loss.share;
}

const climb = { ms: 1_000, state: 'startup', queueMs: 40, lost: 0.1 } as const;
const calm = { ms: 3_000, state: 'paced', queueMs: 1, lost: 0 } as const;

test('what the sender itself overflowed is not counted, nor its repair a moment later', () => {
  const repair = { ...calm, ms: 300, lost: 0.05 };
  assert.equal(lossOf([climb, repair, calm]), 0);
  assert.equal(lossOf([climb, repair, calm, { ...calm, ms: 400, queueMs: 20, lost: 0.05 }, repair, calm]), 0);
});

test('a link that loses while nothing is overloaded is seen', () => {
  const share = lossOf([climb, { ...calm, lost: 0.01 }]);
  assert.ok(share !== null && Math.abs(share - 0.01) < 1e-6, `${share}`);
});

test('without a calm time, or with too little sent in it, nobody knows', () => {
  assert.equal(lossOf([climb]), null);
  assert.equal(lossOf([climb, { ...calm, ms: 500 }]), null);
});
