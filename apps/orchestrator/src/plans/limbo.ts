/**
 * A VM of which nobody knows where it runs while its migration goes on asking: its item bears a finding as long as that lasts, so that
 * whoever looks at the run learns of it before the migration gives up. Pure.
 */
import { inShort } from '../in-short.ts';
import type { MigrationFacts } from './item-step.ts';
import type { PlanItem } from './record.ts';

type Finding = PlanItem['findings'][number];
type Found = Pick<PlanItem, 'findings'>;

const IN_LIMBO = 'OUTCOME_UNKNOWN';

/** `undefined`: its migration has said nothing of the kind. */
export const limboOf = ({ findings }: Found): Finding | undefined => findings.find(({ code }) => code === IN_LIMBO);

export const withoutLimbo = ({ findings }: Found): Finding[] => findings.filter(({ code }) => code !== IN_LIMBO);

/** What is found of a VM whose migration goes on and asks for a person by now. */
export const limboFinding = (
  item: PlanItem,
  { leftAt, byHand }: Pick<MigrationFacts, 'leftAt' | 'byHand'>,
): Finding => ({
  severity: 'warning',
  code: IN_LIMBO,
  message: `${standing(item, leftAt)}; see lmas get ${item.migrations.at(-1) ?? ''}`,
  remedy: byHand ?? '',
});

/** @param leftAt as its newest migration sees it: the source of the way back is the destination of the way there */
function standing({ powerState, state, source, destination }: PlanItem, leftAt: PlanItem['leftAt']): string {
  const isOff = powerState === 'off';
  if (leftAt === 'both') return isOff ? 'Both ends have it' : 'It runs at both ends';
  if (leftAt !== 'source' && leftAt !== 'destination')
    return isOff ? 'Nobody knows which end has it' : 'Nobody knows where it runs';
  const isThere = (leftAt === 'destination') !== (state === 'moving-back');
  return `It waits for a person at ${(isThere ? destination : source).endpoint}`;
}

/** In a sentence of the run, without its full stop; empty: none is in it. */
export function limboInWords(items: readonly Pick<PlanItem, 'vm' | 'findings'>[]): string {
  const found = items.flatMap((item) => {
    const finding = limboOf(item);
    return finding === undefined ? [] : [{ name: item.vm.name, message: finding.message }];
  });
  const [first] = found;
  if (first === undefined) return '';
  if (found.length > 1)
    return `${inShort(found.map(({ name }) => name))}: where each runs is for a person to see; see lmas list --needs-person`;
  return `${first.name}: ${first.message.charAt(0).toLowerCase()}${first.message.slice(1)}`;
}
