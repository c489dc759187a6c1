import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BalancingPolicy } from '@lmas/client';
import { isOpen as isOpenThere } from '../../../../orchestrator/src/time/periods.ts';
import { isOpen } from './policy-hours.ts';

type Period = BalancingPolicy['windows'][number];
type Hours = Pick<BalancingPolicy, 'timeZone' | 'windows' | 'blackouts'>;
const nights: Period = { kind: 'weekly', days: ['fri', 'sat'], from: '22:00', to: '06:00' };
const office: Period = { kind: 'weekly', days: ['mon', 'tue', 'wed', 'thu', 'fri'], from: '08:00', to: '18:00' };
const always: Period = { kind: 'weekly', days: ['mon'], from: '00:00', to: '00:00' };
const freeze: Period = { kind: 'dates', from: '2026-06-06T00:00:00Z', to: '2026-06-06T12:00:00Z' };

test('a policy works inside its windows, on the clock of its time zone, and never inside a blackout', () => {
  const at = (iso: string, hours: Partial<Hours>) =>
    isOpen({ timeZone: 'Europe/Lisbon', windows: [], blackouts: [], ...hours }, Date.parse(iso));
  assert.equal(at('2026-06-05T21:30:00Z', { windows: [nights] }), true, 'it is 22:30 there, on a Friday');
  assert.equal(at('2026-06-05T20:30:00Z', { windows: [nights] }), false);
  assert.equal(at('2026-06-07T04:59:00Z', { windows: [nights] }), true, 'begun on Saturday');
  assert.equal(at('2026-06-07T05:00:00Z', { windows: [nights] }), false);
  assert.equal(at('2026-06-06T01:00:00Z', { windows: [nights], blackouts: [freeze] }), false);
  assert.equal(at('2026-06-05T01:00:00Z', {}), true);
  assert.equal(at('2026-06-05T01:00:00Z', { timeZone: 'Mars/Base', windows: [nights] }), null);
});

const HOURS: readonly Omit<Hours, 'timeZone'>[] = [
  { windows: [nights, office], blackouts: [] },
  { windows: [always], blackouts: [freeze] },
  { windows: [], blackouts: [office] },
];

test('it says what the orchestrator says, whatever the hour', () => {
  for (const timeZone of ['UTC', 'Europe/Lisbon', 'Pacific/Auckland', 'Asia/Kathmandu']) {
    for (const each of HOURS) {
      const hours: Hours = { timeZone, ...each };
      const firstMs = Date.parse('2026-10-20T00:00:00Z'); // clocks go back in Lisbon in that week
      for (let atMs = firstMs; atMs < firstMs + 8 * 86_400_000; atMs += 1_799_000)
        assert.equal(isOpen(hours, atMs), isOpenThere(hours, atMs), `${timeZone} ${new Date(atMs).toISOString()}`);
    }
  }
});
