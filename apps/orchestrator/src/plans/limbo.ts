/**
 * A VM of which nobody knows where it runs while its migration goes on asking: its item bears a finding as long as that lasts, so that
 * whoever looks at the run learns of it before the migration gives up. Pure.
 */
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
  message: `${item.vm.name}: ${standing(item, leftAt)}; see lmas get ${item.migrations.at(-1) ?? ''}`,
  remedy: byHand ?? '',
});

/** @param leftAt as its newest migration sees it: the source of the way back is the destination of the way there */
function standing({ powerState, state, source, destination }: PlanItem, leftAt: PlanItem['leftAt']): string {
  const isOff = powerState === 'off';
  if (leftAt === 'both') return isOff ? 'both ends have it' : 'it runs at both ends';
  if (leftAt !== 'source' && leftAt !== 'destination')
    return isOff ? 'nobody knows which end has it' : 'nobody knows where it runs';
  const isThere = (leftAt === 'destination') !== (state === 'moving-back');
  return `it waits for a person at ${(isThere ? destination : source).endpoint}`;
}

/** Of all VMs that are in it, one after the other; empty: none is. */
export const limboInWords = (items: readonly Found[]): string =>
  items.flatMap((item) => limboOf(item)?.message ?? []).join('. ');
