/**
 * Whether a move that was decided a while ago is still right, as things are now. Pure.
 */

import type { Question } from './decide.ts';
import { judge, restOf } from './judge.ts';
import { counted, Projection } from './projection.ts';
import type { BalancingMove } from './types.ts';
import { usesInWords } from './words.ts';

/** Why not, as a sentence; `undefined`: it is. */
export function judgeAgain(question: Question, move: BalancingMove): string | undefined {
  const { policy, observation, memory, past, setBacks, nowMs } = question;
  const { vm: ref, source, destination, isRepair } = move;
  const projection = Projection.of(observation);
  const silent = observation.silent.find(({ endpoint }) => endpoint === source || endpoint === destination);
  if (silent !== undefined) return silent.reason;
  const vm = projection.vms(source).find(({ id }) => id === ref.id);
  if (vm === undefined) return `${ref.name} does not run at ${source} any more.`;
  const uses = projection.uses(source);
  const isBusy = counted(policy).some((resource) => (uses[resource] ?? 0) > policy[resource].low);
  if (!isRepair && !isBusy) return `${source} is not too busy any more (${usesInWords(uses, counted(policy))}).`;
  const isHot = ([endpoint, host]: readonly [string, { readonly hot: boolean }]) => host.hot && endpoint !== source;
  const hot = new Set(
    Object.entries(memory.hosts)
      .filter(isHot)
      .map(([endpoint]) => endpoint),
  );
  const circumstances = { policy, observation, projection, past, setBacks, hot, nowMs };
  const rest = restOf(source, circumstances);
  if (rest !== undefined) return rest.text;
  const verdict = judge(vm, [source, destination], circumstances, { isRepair });
  return verdict.ok ? undefined : verdict.text;
}
