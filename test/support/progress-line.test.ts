import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '@lmas/client';
import { sampleMigration } from '../../apps/cli/src/fake-orchestrator.ts';
import { ProgressLine } from './progress-line.ts';

function stage(isTTY: boolean) {
  let written = '';
  let now = 0;
  const out = {
    isTTY,
    columns: 80,
    write: (text: string | Uint8Array) => {
      written += text;
      return true;
    },
  };
  const line = new ProgressLine(out, { linkBitsPerSec: 1e9, nowMs: () => now });
  const at = (ms: number, changes: Partial<Migration>) => {
    now = ms;
    line.show(sampleMigration(changes));
  };
  return { line, at, written: () => written };
}

const performing = (bytesTransferred: number, iteration: number | null = 1): Partial<Migration> => ({
  phase: 'performing',
  progress: {
    ...{ stage: 'memory', percent: 20, bytesTotal: 1e9, bytesTransferred, bytesRemaining: 1e9 - bytesTransferred },
    ...{ rateBytesPerSec: 107e6, dirtyRateBytesPerSec: null, iteration, etaMs: null, outlook: null },
    at: '2026-01-01T00:00:00.000Z',
  },
});

test('where there is no terminal: a line for each phase, and some while memory moves, without escape codes', () => {
  const { line, at, written } = stage(false);
  at(0, { phase: 'checking' });
  at(100, { phase: 'checking' });
  at(3_000, performing(214e6));
  at(3_500, performing(260e6));
  at(5_000, performing(430e6, 2));
  at(9_000, { ...performing(1e9, 3), phase: 'confirming' });
  at(12_000, { ...performing(1e9, 3), phase: 'confirming' });
  line.end();
  assert.equal(
    written(),
    [
      '      0.0 s  checking',
      '      3.0 s  performing      214 MB,  786 MB left  856 Mbit/s = 86 % of the link  pass 1',
      '      5.0 s  performing      430 MB,  570 MB left  856 Mbit/s = 86 % of the link  pass 2',
      '      9.0 s  confirming     1000 MB',
      '',
    ].join('\n'),
  );
});

test('on a terminal it is one line, drawn again and cleared at the end', () => {
  const { line, at, written } = stage(true);
  at(0, { phase: 'checking' });
  at(100, performing(214e6));
  line.end();
  assert.doesNotMatch(written(), /\n/);
  assert.match(written(), /performing █+░+ +20 %.*786 MB left/);
  assert.ok(written().endsWith('\r\x1b[2K'));
});
