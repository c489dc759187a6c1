// A flood of refusals: counted to the last one, written a few times.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GatewayError } from './errors.ts';
import { type Log, silentLog } from './log.ts';
import { RefusalLog, summaryIntervalMs } from './refusal-log.ts';

function recorder(): { log: Log; lines: [string, Record<string, unknown> | undefined][] } {
  const lines: [string, Record<string, unknown> | undefined][] = [];
  return { lines, log: { ...silentLog, warn: (message, fields) => lines.push([message, fields]) } };
}

test('the first of a code is written, the others once for each interval, all are counted', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { log, lines } = recorder();
  const refusals = new RefusalLog(log);
  for (let count = 0; count < 10_000; count += 1)
    refusals.note(new GatewayError('PREAMBLE_INVALID'), `192.0.2.1:${count}`);
  refusals.note(new GatewayError('TLS_FAILED'), '192.0.2.2:1');
  assert.deepEqual(refusals.counts, { PREAMBLE_INVALID: 10_000, TLS_FAILED: 1 });
  assert.deepEqual(
    lines.map(([message, fields]) => [message, fields?.code, fields?.from]),
    [
      ['refused', 'PREAMBLE_INVALID', '192.0.2.1:0'],
      ['refused', 'TLS_FAILED', '192.0.2.2:1'],
    ],
  );
  t.mock.timers.tick(summaryIntervalMs);
  assert.equal(lines.length, 3);
  assert.deepEqual(lines[2], [
    'refused again',
    { code: 'PREAMBLE_INVALID', times: 9_999, total: 10_000, lastFrom: '192.0.2.1:9999' },
  ]);
  t.mock.timers.tick(summaryIntervalMs);
  assert.equal(lines.length, 3, 'a quiet interval has no summary');
  refusals.note(new GatewayError('PREAMBLE_INVALID'), '192.0.2.3:1');
  assert.deepEqual(lines[3]?.[1]?.from, '192.0.2.3:1', 'after it the next one is written whole');
});

test('what was withheld is written at the end', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { log, lines } = recorder();
  const refusals = new RefusalLog(log);
  for (let count = 0; count < 3; count += 1) refusals.note(new GatewayError('JOIN_INVALID'), 'peer');
  refusals.stop();
  assert.equal(lines[1]?.[1]?.times, 2);
  t.mock.timers.tick(summaryIntervalMs);
  assert.equal(lines.length, 2);
});
