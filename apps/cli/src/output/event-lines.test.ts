import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sampleMigration } from '../fake-orchestrator.ts';
import { eventLines } from './event-lines.ts';

const at = '2026-01-01T00:00:00.000Z';
const without = (text: string) => text.split('\n').map((line) => line.replace(/^\S+ \S+(?: \S+)? {2}/, ''));

test('each finding has a line of its own, with what to do; any other event is one line', () => {
  const findings = [
    { severity: 'blocker' as const, code: 'NO_ROUTE', message: 'There is no route.', remedy: 'Set one.' },
    { severity: 'note' as const, code: 'SLOW', message: 'It is slow.', remedy: '' },
  ];
  const migration = sampleMigration({ phase: 'checking', findings });
  const text = eventLines({ at, type: 'finding', message: 'blocker: There is no route. note: It is slow.', migration });
  const lines = without(text).map((line) => line.trim().replace(/ +/g, ' '));
  assert.deepEqual(lines, ['BLOCKER There is no route. (NO_ROUTE)', 'Set one.', 'note It is slow. (SLOW)']);
  assert.match(eventLines({ at, type: 'error', message: 'It broke.', migration }), / {2}error: It broke\.$/);
  assert.match(
    eventLines({ at, type: 'finding', message: 'As told.', migration: sampleMigration({}) }),
    / {2}As told\.$/,
  );
});
