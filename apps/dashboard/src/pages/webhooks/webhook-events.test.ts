import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PHASES } from '../../../../orchestrator/src/migrations/phases.ts';
import { WEBHOOK_EVENTS } from '../../../../orchestrator/src/schemas/webhook.ts';
import { type Event, GROUPS, ungrouped } from './webhook-events.ts';

test('every event but the phases on the way stands in one group', () => {
  const grouped = GROUPS.flatMap(([, events]) => events);
  assert.equal(new Set(grouped).size, grouped.length);
  const ways = PHASES.map((phase): string => `migration.${phase}`);
  assert.deepEqual(
    WEBHOOK_EVENTS.filter((event) => !grouped.includes(event) && !ways.includes(event)),
    [],
  );
});

test('what is chosen alone is shown beside the groups', () => {
  const ends: Event[] = ['migration.succeeded', 'migration.failed', 'migration.cancelled'];
  assert.deepEqual(ungrouped([...ends, 'schedule.failed', 'balancing.proposed']), [
    'schedule.failed',
    'balancing.proposed',
  ]);
  assert.deepEqual(ungrouped(ends), []);
});
