/** A policy as the form has it, in the units of people, and the settings that it makes. Pure. */
import type { BalancingPolicy, BalancingPolicySettings } from '@lmas/client';
import type { Resource } from './policy-words.tsx';

/** In percent; weight 0: it does not count. */
export interface Threshold {
  readonly weight: number;
  readonly high: number;
  readonly low: number;
}

export interface PolicyDraft {
  readonly description: string;
  readonly endpoints: readonly string[];
  readonly mode: BalancingPolicy['mode'];
  readonly thresholds: Readonly<Record<Resource, Threshold>>;
  readonly intervalMinutes: number;
  readonly minGainPoints: number;
  readonly maxMovesPerHour: number;
  readonly maxConcurrent: number;
  /** One name or pattern a line. */
  readonly pinned: string;
  /** One group a line, its VMs with commas between. */
  readonly together: string;
  readonly apart: string;
  readonly transport: 'tunnel' | 'direct';
}

const MINUTE_MS = 60_000;

/** As the API sets it where nothing is said. */
export const emptyPolicy: PolicyDraft = {
  description: '',
  endpoints: [],
  mode: 'propose',
  thresholds: {
    cpu: { weight: 1, high: 85, low: 70 },
    memory: { weight: 0.5, high: 90, low: 80 },
    network: { weight: 0, high: 80, low: 60 },
  },
  intervalMinutes: 5,
  minGainPoints: 5,
  maxMovesPerHour: 6,
  maxConcurrent: 1,
  pinned: '',
  together: '',
  apart: '',
  transport: 'tunnel',
};

export function draftOf(policy: BalancingPolicy): PolicyDraft {
  const threshold = ({ weight, high, low }: BalancingPolicy[Resource]): Threshold => ({
    weight,
    high: inPercent(high),
    low: inPercent(low),
  });
  const { rules } = policy;
  const groups = (all: readonly { readonly vms: readonly string[] }[]) =>
    all.map(({ vms }) => vms.join(', ')).join('\n');
  return {
    description: policy.description,
    endpoints: policy.endpoints,
    mode: policy.mode,
    thresholds: {
      cpu: threshold(policy.cpu),
      memory: threshold(policy.memory),
      network: threshold(policy.network),
    },
    intervalMinutes: policy.intervalMs / MINUTE_MS,
    minGainPoints: inPercent(policy.minGain),
    maxMovesPerHour: policy.maxMovesPerHour,
    maxConcurrent: policy.maxConcurrent,
    pinned: rules.pinned.join('\n'),
    together: groups(rules.affinity),
    apart: groups(rules.antiAffinity),
    transport: policy.migration.transport ?? 'tunnel',
  };
}

/** @param before what the form was opened with: what it has no field for stays as it is */
export function settingsOf(draft: PolicyDraft, before?: BalancingPolicy): BalancingPolicySettings {
  const { id: _, pausedAt: __, createdAt: ___, ...kept } = before ?? ({} as Partial<BalancingPolicy>);
  const share = ({ weight, high, low }: Threshold) => ({ weight, high: high / 100, low: low / 100 });
  return {
    ...kept,
    description: draft.description,
    endpoints: [...draft.endpoints],
    mode: draft.mode,
    cpu: share(draft.thresholds.cpu),
    memory: share(draft.thresholds.memory),
    network: share(draft.thresholds.network),
    intervalMs: Math.round(draft.intervalMinutes * MINUTE_MS),
    minGain: draft.minGainPoints / 100,
    maxMovesPerHour: draft.maxMovesPerHour,
    maxConcurrent: draft.maxConcurrent,
    rules: {
      ...kept.rules,
      pinned: lines(draft.pinned),
      affinity: groupsIn(draft.together),
      antiAffinity: groupsIn(draft.apart),
    },
    migration: { ...kept.migration, transport: draft.transport },
  };
}

/** Shares are kept to a hundredth of a percent, so that none comes back as 56.99999999999999. */
const inPercent = (share: number): number => Math.round(share * 10_000) / 100;
const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
const groupsIn = (text: string) =>
  lines(text).map((line) => ({
    vms: line
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== ''),
  }));
