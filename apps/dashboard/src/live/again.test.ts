import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LmasApiError, LmasConnectionError } from '@lmas/client';
import { AGAIN_MS, againInMs } from './again.ts';

const refused = (status: number, code: string, retryAfterMs?: number) =>
  new LmasApiError({ status, code, title: 'no', retryAfterMs });

test('what nobody answered is asked again, what was refused is not', () => {
  assert.equal(againInMs(new LmasConnectionError('UNREACHABLE', 'away')), AGAIN_MS);
  assert.equal(againInMs(new LmasConnectionError('CONNECTION_LOST', 'cut off')), AGAIN_MS);
  assert.equal(againInMs(refused(503, 'UNAVAILABLE')), AGAIN_MS);
  assert.equal(againInMs(refused(502, 'HTTP_502')), AGAIN_MS, 'a proxy in front of one that is starting');
  assert.equal(againInMs(refused(429, 'RATE_LIMITED', 30_000)), 30_000, 'as late as it said');
  for (const answered of [
    new LmasConnectionError('NOT_LMAS', 'something else'),
    refused(404, 'PLAN_NOT_FOUND'),
    refused(401, 'UNAUTHENTICATED'),
    refused(502, 'UNREACHABLE'), // of an endpoint: each question may be a login there
    new Error('of the page itself'),
  ])
    assert.equal(againInMs(answered), undefined, String(answered));
});
