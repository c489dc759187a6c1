/**
 * What a run says of VMs that did not simply move, in words: for its message, which may be all that anybody reads before a host is switched
 * off. Pure.
 */
import { inShort } from '../in-short.ts';
import { NOT_RUNNING } from './powered-off.ts';
import { ENDPOINT_SILENT, type PlanItem, type PlanRun } from './record.ts';

type Items = Pick<PlanRun, 'items'>;
type Left = Pick<PlanRun, 'items' | 'reasons'>;

/** How it ended where nothing was lost: a host that some of its VMs were left at is not empty. */
export function allMoved(run: Left): string {
  const [off, silent] = [leftOff(run, 'were'), leftSilent(run)];
  if (run.items.every(({ state }) => state === 'left')) return `There was nothing to move.${off}${silent}`;
  return `Every ${off === '' ? '' : 'running '}VM ${silent === '' ? '' : 'that was found '}has moved.${off}${silent}`;
}

/** What stays where it is though it was meant; said behind how it ended. */
export const leftBehind = (run: Left, were: 'were' | 'would be'): string => leftOff(run, were) + leftSilent(run);

/** It stays as nothing that anybody could move: paused, or arriving by a migration. */
const isInBetween = ({ findings }: PlanItem): boolean => findings.some(({ code }) => code === NOT_RUNNING);

/** Whether a VM was left that is neither running nor off: whoever switches its host off ends its guest. */
export const leavesInBetween = ({ items }: Items): boolean =>
  items.some((item) => item.state === 'left' && isInBetween(item));

/** Of those that no plugin can move, host by host. */
function leftOff({ items }: Items, were: 'were' | 'would be'): string {
  const left = items.filter(({ state }) => state === 'left');
  const told = (those: readonly PlanItem[], how: string): string[] =>
    Object.entries(Object.groupBy(those, ({ source }) => source.endpoint)).map(([host, there = []]) => {
      const names = there.map(({ vm }) => vm.name);
      const them = names.length === 1 ? '1 that is' : `${names.length} that are`;
      const was = were === 'were' && names.length === 1 ? 'was' : were;
      return ` ${them} ${how} ${was} left at ${host}: ${inShort(names)}.`;
    });
  return [
    ...told(
      left.filter((item) => !isInBetween(item)),
      'powered off',
    ),
    ...told(left.filter(isInBetween), 'neither running nor off'),
  ].join('');
}

/** Of a drill: what it says nothing about, behind how it ended; empty: it was about all that was meant. */
export function notRehearsed(run: Left): string {
  const off = run.items.filter(({ state }) => state === 'left').map(({ vm }) => vm.name);
  const resting = off.length === 0 ? '' : ` Not rehearsed, since only what runs can be: ${inShort(off)}.`;
  return resting + leftSilent(run, 'was not rehearsed');
}

/** What was left because it did not answer, behind how the run ended; empty: nothing was. */
export function leftSilent({ reasons }: Pick<PlanRun, 'reasons'>, what = 'was left'): string {
  const silent = reasons.flatMap(({ code, endpoint }) => (code === ENDPOINT_SILENT && endpoint ? [endpoint] : []));
  const names = [...new Set(silent)];
  if (names.length === 0) return '';
  return ` ${inShort(names)} did not answer: what ${names.length === 1 ? 'it has' : 'they have'} ${what}.`;
}

/** Of which nobody has seen that they are gone from where they were; said behind how it ended. */
export function unverifiedIn({ items }: Items): string {
  const moved = (sourceAfter: PlanItem['sourceAfter']) =>
    items.filter((item) => item.state === 'moved' && item.sourceAfter === sourceAfter).map(({ vm }) => vm.name);
  const [silent, paused] = [moved('unreachable'), moved('paused')];
  return [
    silent.length === 0
      ? ''
      : ` That the source has stopped was not verified, since it does not answer: ${inShort(silent)}.`,
    paused.length === 0
      ? ''
      : ` A paused copy still stands at the source, and must not be resumed: ${inShort(paused)}.`,
  ].join('');
}

export function lossInWords({ leftAt, powerState }: PlanItem, outcome: 'failed' | 'cancelled', back: boolean): string {
  const isOff = powerState === 'off';
  if (leftAt === 'both') return isOff ? 'Both ends have it.' : 'It runs at both ends.';
  if (leftAt === 'unknown') return isOff ? 'Nobody knows which end has it.' : 'Nobody knows where it runs.';
  if (back) return 'It could not be moved back.';
  return outcome === 'failed' ? 'It could not be moved.' : 'Its migration was cancelled.';
}

/** The end at which it was found does not know it any more. */
export const notFound = (name: string, endpoint: string) => ({
  code: 'VM_NOT_FOUND',
  message: `${name} was not found at ${endpoint}.`,
  remedy: 'It was moved or removed by somebody else: look where it runs, and begin a new run.',
});

/** It has arrived, and the end that it left says that it runs there. */
export function runsTwice(
  { powerState, source, destination }: PlanItem,
  back: boolean,
): NonNullable<PlanItem['error']> {
  if (powerState !== 'off') {
    const message = 'It runs at the destination, and the source says that it runs there as well.';
    return { code: 'BOTH_RUNNING', message, remedy: 'Stop one of the two by hand, now.' };
  }
  const [left, here] = back ? [destination, source] : [source, destination];
  return {
    code: 'OUTCOME_UNKNOWN',
    message: `It was moved powered off to ${here.endpoint}, and ${left.endpoint}, which it has left, says that it runs there.`,
    remedy: `Never start it at ${here.endpoint} while it runs at ${left.endpoint}: both may write the same disks. Find out which of the two counts, and remove the definition of the other one by hand; keep its disks.`,
  };
}

/** A fail-back has no plan that anybody could edit: what to do about the VM that stands in the way of all others. Said behind why it failed. */
export const wayAround = ({ mode, reverseOf }: Pick<PlanRun, 'mode' | 'reverseOf'>): string =>
  mode !== 'failback' || reverseOf === null
    ? ''
    : ` To bring back the others: lmas plan fail-back ${reverseOf} --except VM (for each), or --leave-powered-off.`;
