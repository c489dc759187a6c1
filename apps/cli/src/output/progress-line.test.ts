import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleMigration } from '../fake-orchestrator.ts';
import { renderBar, renderProgressLine } from './progress-line.ts';
import { displayWidth } from './text.ts';

const progress = {
  stage: 'memory' as const,
  percent: 47.9,
  bytesTransferred: 500,
  bytesTotal: 1_000,
  bytesRemaining: 500,
  rateBytesPerSec: 112_000_000,
  dirtyRateBytesPerSec: 40_000_000,
  iteration: 3,
  etaMs: 42_000,
  outlook: null,
  at: '2026-01-01T00:01:00.000Z',
};
const performing = sampleMigration({ phase: 'performing', startedAt: '2026-01-01T00:00:00.000Z', progress });
const nowMs = Date.parse('2026-01-01T00:01:07.000Z');

test('all of it where there is room', () => {
  assert.equal(
    renderProgressLine(performing, { width: 120, unicode: false, nowMs }),
    '1:07  performing memory  [#############               ]   47 %  896 Mbit/s  ETA 0:42  dirty 320 Mbit/s  pass 3',
  );
});

test('it fits every width; what matters least goes first', () => {
  for (let width = 8; width <= 140; width += 1) {
    for (const unicode of [true, false]) {
      const line = renderProgressLine(performing, { width, unicode, nowMs });
      assert.ok(displayWidth(line) <= width, `${width}: ${line}`);
    }
  }
  const narrow = renderProgressLine(performing, { width: 60, unicode: false, nowMs });
  assert.match(narrow, /896 Mbit\/s/);
  assert.doesNotMatch(narrow, /pass/);
});

test('the bar is as wide as asked and never overflows', () => {
  for (const percent of [-5, 0, 12.5, 50, 99.9, 100, 250]) {
    for (const unicode of [true, false])
      assert.equal(displayWidth(renderBar(percent, 12, unicode)), 12, String(percent));
  }
  assert.equal(renderBar(100, 12, false), '[##########]');
});

test('phases without progress, cancelling and a lost connection are said', () => {
  const queued = sampleMigration({
    phase: 'provisioning',
    startedAt: '2026-01-01T00:01:00.000Z',
    cancelRequestedAt: progress.at,
  });
  assert.equal(renderProgressLine(queued, { width: 80, unicode: true, nowMs }), '0:07  provisioning (cancelling)');
  assert.match(
    renderProgressLine(performing, { width: 120, unicode: true, nowMs, connectionLost: 'refused' }),
    /performing memory {2}no connection to the orchestrator, trying again: refused/,
  );
});
