/** What policies and their moves are called, and numbers as balancing tells them. */
import type { BalancingMoveState, BalancingPass, BalancingPolicy } from '@lmas/client';
import { nowMs } from '../../live/clock.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { isOpen } from './policy-hours.ts';

export type Resource = 'cpu' | 'memory' | 'network';
export type Uses = BalancingPass['hosts'][number]['uses'];

/** As the sentences of the orchestrator call them. */
export const RESOURCES: readonly (readonly [Resource, name: string])[] = [
  ['cpu', 'Processor'],
  ['memory', 'Memory'],
  ['network', 'Network'],
];

export const MODES: Readonly<Record<BalancingPolicy['mode'], string>> = {
  explain: 'only says what it would do',
  propose: 'its moves wait for an operator’s answer',
  automatic: 'moves VMs by itself',
};

export const MOVE_TONES: Readonly<Record<BalancingMoveState, Tone>> = {
  proposed: 'busy',
  decided: 'busy',
  submitting: 'busy',
  submitted: 'busy',
  ended: 'plain',
  withdrawn: 'plain',
  rejected: 'warning',
  expired: 'plain',
  refused: 'warning',
};

export const percent = (share: number | null): string => (share === null ? 'unknown' : `${Math.round(share * 100)} %`);
/** Differences of shares: from 90 % to 61 % is 29 points. */
export const points = (share: number): string => `${(share * 100).toFixed(1)} points`;

type State = Pick<BalancingPolicy, 'pausedAt' | 'passes' | 'timeZone' | 'windows' | 'blackouts'>;

/** Outside of its windows it makes no pass by itself; one that is asked for is made all the same. */
export function PolicyState({ policy }: { policy: State }) {
  if (policy.pausedAt !== null) return <Badge tone="warning">paused</Badge>;
  const isShut = policy.passes === 'interval' && isOpen(policy, nowMs()) === false;
  return isShut ? <Badge tone="plain">outside its windows</Badge> : <Badge tone="good">works</Badge>;
}
