import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration, Phase } from '@lmas/client';
import { stepsOf } from './steps.ts';

const at = (seconds: number): string => new Date(seconds * 1_000).toISOString();

function migration(
  timeline: readonly (readonly [Phase, number])[],
  transport: 'tunnel' | 'direct',
  endedAt: number | null,
) {
  return {
    timeline: timeline.map(([phase, seconds]) => ({ phase, startedAt: at(seconds) })),
    phase: timeline.at(-1)?.[0] ?? 'queued',
    endedAt: endedAt === null ? null : at(endedAt),
    request: { transport } as Migration['request'],
  };
}

const shown = (steps: ReturnType<typeof stepsOf>): string =>
  steps.map(({ phase, state, tookMs }) => `${phase} ${state} ${tookMs ?? '-'}`).join('\n');

test('what is done, under way and ahead of one that runs', () => {
  const running = migration(
    [
      ['queued', 0],
      ['checking', 2],
      ['provisioning', 3],
    ],
    'tunnel',
    null,
  );
  assert.equal(
    shown(stepsOf(running, 7_500)),
    `queued done 2000
checking done 1000
provisioning now 4500
preparing ahead -
connecting ahead -
performing ahead -
confirming ahead -
tearing-down ahead -
succeeded ahead -`,
  );
});

test('one that failed early says what it never reached; a direct one has no tunnel to wait for', () => {
  const failed = migration(
    [
      ['queued', 0],
      ['checking', 1],
      ['tearing-down', 3],
      ['failed', 4],
    ],
    'direct',
    4,
  );
  assert.equal(
    shown(stepsOf(failed, 99_000)),
    `queued done 1000
checking done 2000
preparing skipped -
performing skipped -
confirming skipped -
tearing-down done 1000
failed done 0`,
  );
});

test('a phase that was entered again counts with all its time', () => {
  const again = migration(
    [
      ['checking', 0],
      ['preparing', 1],
      ['checking', 5],
      ['preparing', 7],
    ],
    'direct',
    null,
  );
  const steps = stepsOf(again, 10_000);
  assert.equal(steps.find(({ phase }) => phase === 'checking')?.tookMs, 3_000);
  assert.equal(steps.find(({ phase }) => phase === 'preparing')?.tookMs, 7_000);
});
