import assert from 'node:assert/strict';
import { test } from 'node:test';
import { auditQueryOf, filterOf } from './audit-filter.ts';

const queryOf = (text: string) => auditQueryOf(filterOf(new URLSearchParams(text)));

test('what the address says is asked for, times as instants', () => {
  assert.deepEqual(queryOf('caller=k1&operation=createSite&target=/v1/sites&outcome=failed&since=2026-03-01T08:30'), {
    ...{ caller: 'k1', operation: 'createSite', target: '/v1/sites', outcome: 'failed', strangers: 'false' },
    since: new Date('2026-03-01T08:30').toISOString(),
  });
  assert.deepEqual(queryOf('strangers=true&caller='), { strangers: 'true' });
});

test('what no orchestrator would take is left out', () => {
  assert.deepEqual(queryOf('outcome=perhaps&since=yesterday&until=&other=1'), { strangers: 'false' });
});
