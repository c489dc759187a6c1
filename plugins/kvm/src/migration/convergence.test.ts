import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONVERGENCES } from '@lmas/plugin-api';
import { optionsSchema } from '../config.ts';
import { MIGRATE } from '../rpc/constants.ts';
import { convergenceSettings } from './convergence.ts';
import { commonParams, destinationFlags, migrationFlags, prepareParams } from './parameters.ts';

const facts = { copiesDisks: false, vouched: true, libvirtVersion: 9_000_000 };
const settingsOf = (
  policy: (typeof CONVERGENCES)[number],
  given: { autoConverge?: boolean; maxDowntimeMs?: number } = {},
) => convergenceSettings(policy, { autoConverge: false, maxDowntimeMs: null, ...given });

for (const policy of CONVERGENCES) {
  test(`${policy}: never post-copy, throttled only where the guest may be slowed, tuned only at the source`, () => {
    const options = optionsSchema.parse({});
    const { throttling } = settingsOf(policy);
    const flags = migrationFlags(options, { ...facts, throttling });
    assert.equal(flags & MIGRATE.postCopy, 0);
    const slows = policy === 'fast-switchover' || policy === 'must-finish';
    assert.equal((flags & MIGRATE.autoConverge) !== 0, slows);
    const common = commonParams({
      options,
      throttling,
      bandwidthBytesPerSec: null,
      copiedDisks: [],
      definitions: undefined,
    });
    const tuning = common
      .filter(({ field }) => field.startsWith('auto_converge.'))
      .map(({ field, value }) => [field, value]);
    const expected = { 'fast-switchover': [20, 10], 'must-finish': [50, 20] }[policy as string];
    assert.deepEqual(
      tuning,
      expected === undefined
        ? []
        : [
            ['auto_converge.initial', expected[0]],
            ['auto_converge.increment', expected[1]],
          ],
    );
    assert.equal(destinationFlags(flags) & MIGRATE.autoConverge, 0);
    const atDestination = prepareParams(common, '<domain/>', { host: '192.0.2.1', port: 1 }, undefined);
    assert.ok(atDestination.every(({ field }) => !field.startsWith('auto_converge.')));
  });
}

test('the pause that each policy allows; a number that was given counts for more', () => {
  assert.deepEqual(
    CONVERGENCES.map((policy) => [policy, settingsOf(policy).maxDowntimeMs]),
    [
      ['balanced', null],
      ['fast-switchover', 100],
      ['never-pause', 50],
      ['must-finish', 5_000],
    ],
  );
  for (const policy of CONVERGENCES) assert.equal(settingsOf(policy, { maxDowntimeMs: 77 }).maxDowntimeMs, 77);
});

test('throttling that was asked for by option stays', () => {
  assert.deepEqual(settingsOf('balanced', { autoConverge: true }).throttling, { initialPct: 20, incrementPct: 10 });
});
