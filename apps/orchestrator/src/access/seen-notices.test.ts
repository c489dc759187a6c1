/** What a reader hears of notices that a later version has written: two versions work on one Redis while an installation is upgraded. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { storedNoticeSeenBy } from './seen-notices.ts';

const ofAnotherKind = JSON.stringify({
  at: '2026-01-01T00:00:00.000Z',
  type: 'weather',
  project: 'alpha',
  message: 'rain',
});
const forLaterVersions = JSON.stringify({ readableFrom: 1_000_000, record: {} });

test('a notice of a kind that is not known here ends no feed: it is told to those who see everything, and to nobody else', () => {
  assert.equal(storedNoticeSeenBy(null, ofAnotherKind), ofAnotherKind);
  assert.equal(storedNoticeSeenBy('alpha', ofAnotherKind), undefined);
});

test('one that only later versions may read is told to nobody', () => {
  assert.equal(storedNoticeSeenBy(null, forLaterVersions), undefined);
  assert.equal(storedNoticeSeenBy('alpha', forLaterVersions), undefined);
});
