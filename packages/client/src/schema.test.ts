import assert from 'node:assert/strict';
import { test } from 'node:test';
import { staleFiles } from '../scripts/generate.ts';

test('openapi.json and schema.ts are what the orchestrator’s document makes of them', { timeout: 60_000 }, async () => {
  assert.deepEqual(await staleFiles(), [], 'run: npm run generate -w packages/client');
});
