/**
 * The steps of the workflow and the calls that carry them out, as the simulated far ends see them: what the matrix of
 * faults is generated from.
 */
import type { FaultKind } from '@lmas/plugin-simulated/world';

export interface StepCall {
  readonly step: string;
  /** `<host>.<verb>` of the simulated world. */
  readonly call: string;
  /** The guest runs at the destination once this call has had its effect. */
  readonly commits: boolean;
}

const at = (step: string, call: string, commits = false): StepCall => ({ step, call, commits });

export const STEPS: readonly StepCall[] = [
  at('check', 'source.login'),
  at('check', 'source.find'),
  at('check', 'destination.presence'),
  at('provision', 'gateway.start'),
  at('provision', 'gateway.configure'),
  at('prepare', 'destination.prepare'),
  at('connect', 'gateway.route'),
  at('perform', 'source.perform'),
  at('confirm', 'destination.finish', true),
  at('confirm', 'source.confirm', true),
  at('teardown', 'gateway.remove', true),
];

export const FAULTS: readonly FaultKind[] = ['before', 'after', 'reply-lost'];
export const HOLDS: readonly FaultKind[] = ['hold-before', 'hold-after'];
