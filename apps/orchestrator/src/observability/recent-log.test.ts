import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { RecentLog } from './recent-log.ts';

const line = (level: number, time: number, msg = 'm') => `${JSON.stringify({ level, time, msg })}\n`;

test('a flood of calls does not push warnings out, and what is kept has an end', () => {
  const recent = new RecentLog();
  recent.write(line(50, 1, 'it broke'));
  recent.write(line(40, 2, 'it may break'));
  for (let time = 3; time < 10_000; time++) recent.write(line(30, time));
  const kept = recent.lines();
  assert.deepEqual(
    kept.slice(0, 2).map(({ msg }) => msg),
    ['it broke', 'it may break'],
  );
  assert.equal(kept.length, 502);
  assert.equal(kept.at(-1)?.time, 9_999);
  for (let time = 10_000; time < 13_000; time++) recent.write(line(40, time));
  assert.equal(recent.lines().length, 1_000);
});

test('lines are as the process would print them: redacted, and from info on', () => {
  const log = createLog('silent');
  log.info({ password: 'MARKER' }, 'a login');
  log.debug({}, 'too fine');
  assert.deepEqual(log.recent.lines(), []); // a process that prints nothing keeps nothing either
  const quiet = createLog('error');
  quiet.error({ password: 'MARKER' }, 'a login');
  const [kept] = quiet.recent.lines();
  assert.deepEqual([kept?.msg, kept?.password], ['a login', '[redacted]']);
});
