/** Why there is no other attempt, where somebody may wonder. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { whyNoOtherAttempt } from './retry.ts';
import type { Run } from './run.ts';

const runWith = (max: number, handedOver: boolean) =>
  ({
    migration: { failedAttempts: [], request: { retries: { max } } },
    journal: { has: () => handedOver },
  }) as unknown as Run;

test('of what broke after the hand-over, although other attempts were granted, it is said why there is none', () => {
  for (const code of ['CONNECTION_LOST', 'INTERRUPTED', 'STREAM_FAILED']) {
    assert.match(whyNoOtherAttempt(runWith(1, true), code) ?? '', /the destination had been told of the VM already/);
    assert.equal(whyNoOtherAttempt(runWith(0, true), code), null);
    assert.equal(whyNoOtherAttempt(runWith(1, false), code), null);
  }
  assert.equal(whyNoOtherAttempt(runWith(1, true), 'CHECK_FAILED'), null);
});
