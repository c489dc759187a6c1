/**
 * The steps of the workflow, forward and back, and the calls that carry them out, as the simulated far ends see them: what
 * the matrix of faults is generated from.
 */
import type { FaultKind } from '@lmas/plugin-simulated/world';
import type { PairWorld } from '../simulated/world.ts';

export interface StepCall {
  readonly step: string;
  /** `<host>.<verb>` of the simulated world. */
  readonly call: string;
  /** The code that a cancel in it is refused with; `null`: it is accepted. */
  readonly refusal: 'PAST_POINT_OF_NO_RETURN' | 'ALREADY_ENDED' | null;
  /** A step of the roll-back, which is taken only when something went wrong before. */
  readonly isBack: boolean;
  /** How many calls of the same name the steps before it make. */
  readonly skip: number;
}

type Special = Partial<Pick<StepCall, 'refusal' | 'skip'>>;
const forward = (step: string, call: string, special: Special = {}): StepCall => ({
  ...{ step, call, refusal: null, isBack: false, skip: 0 },
  ...special,
});
const back = (step: string, call: string, special: Special = {}): StepCall => ({
  ...forward(step, call, special),
  isBack: true,
});
const HANDED_OVER: Special = { refusal: 'PAST_POINT_OF_NO_RETURN' };
const DECIDED: Special = { refusal: 'ALREADY_ENDED' };

export const STEPS: readonly StepCall[] = [
  forward('check', 'source.login'),
  forward('check', 'source.find'),
  forward('check', 'destination.presence'),
  forward('provision', 'gateway.start'),
  forward('provision', 'gateway.configure'),
  forward('prepare', 'destination.prepare'),
  forward('connect', 'gateway.route'),
  forward('perform', 'source.perform'),
  forward('confirm', 'destination.finish', HANDED_OVER),
  forward('confirm', 'source.confirm', HANDED_OVER),
  forward('teardown', 'gateway.remove', HANDED_OVER),
  back('locate', 'source.presence'),
  back('abort', 'source.abort-job'),
  back('abort: throw away what waits', 'destination.finish'),
  // It comes after the questions of the check, of the first locate, and of the abort itself.
  back('abort: see that it is gone', 'destination.presence', { skip: 3 }),
  back('abort: let the source go on', 'source.confirm'),
  back('release', 'destination.delete-volume', DECIDED),
  back('release', 'gateway.remove', DECIDED),
];

/** Those of a migration that is in the clear for the time of the move, behind barriers (option `changeSetting`). */
export const STEPS_IN_THE_CLEAR: readonly StepCall[] = [
  forward('set for the move', 'source.change-setting'),
  forward('teardown: what was set for the move', 'source.restore-setting', HANDED_OVER),
  forward('teardown: the barriers', 'gateway.barrier', HANDED_OVER),
  back('release', 'source.restore-setting', DECIDED),
  back('release', 'gateway.barrier', DECIDED),
];

export const nameOf = ({ step, call, isBack }: StepCall): string => `${isBack ? 'back, ' : ''}${step}: ${call}`;

/** What a roll-back begins with: the memory has arrived and the guest stands still at the source, but an error is answered. */
export const ROLL_BACK = { call: 'source.perform', kind: 'after', code: 'TIMEOUT' } as const;

/** Makes the step go wrong, or be held, the next time that it is taken. */
export function armStep({ faults }: PairWorld, { call, isBack, skip }: StepCall, kind: FaultKind) {
  if (isBack) faults.arm(ROLL_BACK.call, ROLL_BACK.kind, { code: ROLL_BACK.code });
  return faults.arm(call, kind, { skip });
}

export const FAULTS: readonly FaultKind[] = ['before', 'after', 'reply-lost'];
export const HOLDS: readonly FaultKind[] = ['hold-before', 'hold-after'];

/** Phase and error code at the end. */
type Expected = readonly [phase: string, errorCode: string | null];
const GOES_ON: Expected = ['succeeded', null];
export const ROLLED_BACK: Expected = ['failed', 'INTERRUPTED'];
/** What went wrong first is what a person has to know, not that the orchestrator was killed while it undid it. */
const STILL_ROLLED_BACK: Expected = ['failed', ROLL_BACK.code];
/**
 * Before the hand-over the next run goes on; in it, it never begins a second migration; after it, it finishes. Where the
 * dead run's last request comes to its effect only while the next one looks around, either end is true.
 */
const EXPECTED: Record<string, (kind: FaultKind, peerToPeer: boolean) => Expected | undefined> = {
  check: () => GOES_ON,
  provision: () => GOES_ON,
  prepare: () => ROLLED_BACK,
  connect: () => ROLLED_BACK,
  perform: (kind, peerToPeer) => (peerToPeer ? (kind === 'hold-after' ? GOES_ON : undefined) : ROLLED_BACK),
  confirm: (kind) => (kind === 'hold-after' ? GOES_ON : undefined),
  teardown: () => GOES_ON,
};

/** What becomes of a migration whose orchestrator was killed in a step; `undefined`: one or the other. */
export const afterKill = (
  { step, isBack }: StepCall,
  kind: FaultKind,
  { peerToPeer }: { peerToPeer: boolean } = { peerToPeer: false },
): Expected | undefined => (isBack ? STILL_ROLLED_BACK : EXPECTED[step]?.(kind, peerToPeer));
