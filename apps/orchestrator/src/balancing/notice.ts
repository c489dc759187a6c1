/**
 * The word about a policy that goes to whoever follows it, or everything: that a pass was made, and what became of proposals. What is
 * moved is told by its migration. Pure.
 */
import type { z } from 'zod';
import type { balancingNoticeSchema } from '../schemas/notice.ts';
import type { BalancingMove, BalancingPass } from './types.ts';
import { passInWords } from './words.ts';

export type BalancingNotice = z.infer<typeof balancingNoticeSchema>;
type BalancingEvent = BalancingNotice['balancing']['event'];

/** That a pass was made, and what it did to each of these moves. */
export function noticesOfPass(
  pass: BalancingPass,
  changes: readonly { readonly before: BalancingMove | undefined; readonly after: BalancingMove }[],
): BalancingNotice[] {
  const { policy, number, mode, at, spread, hosts, moves } = pass;
  const tooBusy = hosts.flatMap((host) => (host.tooBusy ? [host.endpoint] : []));
  const told = { number, mode, spread, tooBusy, moves };
  const done: BalancingNotice = {
    ...{ at, type: 'balancing', message: passInWords(pass) },
    balancing: { policy, project: null, event: 'pass-done', pass: told, move: null },
  };
  return [done, ...changes.flatMap(({ before, after }) => noticesOfMove(before, after, at))];
}

export function noticesOfMove(before: BalancingMove | undefined, after: BalancingMove, at: string): BalancingNotice[] {
  const event = eventOf(before, after);
  if (event === undefined) return [];
  const { id, vm, source, destination, state, text, gain, cost, estimatedMs } = after;
  const { outcome, answeredBy, expiresAt, migration } = after;
  const move = { id, vm, source, destination, state, text, gain, cost, estimatedMs };
  const message = event === 'approved' ? `${answeredBy} said yes. ${text}` : (outcome ?? text);
  return [
    {
      ...{ at, type: 'balancing', message },
      balancing: {
        ...{ policy: after.policy, project: null, event, pass: null },
        move: { ...move, outcome, answeredBy, expiresAt, migration },
      },
    },
  ];
}

function eventOf(before: BalancingMove | undefined, { state }: BalancingMove): BalancingEvent | undefined {
  if (before?.state === state) return undefined;
  switch (state) {
    case 'proposed':
    case 'rejected':
    case 'expired':
    case 'withdrawn':
    case 'refused':
      return state;
    case 'submitting':
      return before?.state === 'proposed' ? 'approved' : undefined;
    case 'decided':
    case 'submitted':
    case 'ended':
      return undefined;
  }
}
