/**
 * Numbers in the words of decisions.
 */
import type { Migration } from '../migrations/record.ts';
import type { Amounts, BalancingMove, BalancingPass, ObservedVm, Resource } from './types.ts';
import { RESOURCES } from './types.ts';

const NAMES: Readonly<Record<Resource, string>> = { cpu: 'processor', memory: 'memory', network: 'network' };
const LONG_MS = 90_000;
const LONG_MIN = 90;

export const nameOf = (resource: Resource): string => NAMES[resource];
export const percent = (share: number | null): string => (share === null ? 'unknown' : `${Math.round(share * 100)} %`);
export const points = (share: number): string => {
  const rounded = Math.round(share * 1_000) / 10;
  return `${rounded} ${rounded === 1 ? 'point' : 'points'}`;
};

export function time(ms: number): string {
  if (ms < LONG_MS) return `${Math.max(1, Math.round(ms / 1_000))} s`;
  const minutes = Math.round(ms / 60_000);
  return minutes < LONG_MIN ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

export const usesInWords = (uses: Amounts, resources: readonly Resource[]): string =>
  resources.map((resource) => `${nameOf(resource)} ${percent(uses[resource])}`).join(', ');

/** "web-1", "web-1 and web-2", "web-1 and 2 others with it". */
export function unitInWords([first, ...others]: readonly Pick<ObservedVm, 'name'>[]): string {
  if (first === undefined) return 'nothing';
  if (others.length === 0) return first.name;
  return others.length === 1
    ? `${first.name} and ${others[0]?.name}`
    : `${first.name} and ${others.length} others with it`;
}

/** The verb that goes with `unitInWords`. */
export const theyOrIt = (unit: readonly unknown[], many: string, one: string): string => (unit.length > 1 ? many : one);

const movesInWords = (count: number): string => (count === 1 ? '1 move' : `${count} moves`);

/** What a pass came to, in one sentence. */
export function passInWords({ number, mode, moves, decisions }: BalancingPass): string {
  const wanted = decisions.filter(({ code }) => code === 'MOVE').length;
  const what = {
    explain: `would make ${wanted === 0 ? 'no move' : movesInWords(wanted)}`,
    propose: `proposes ${moves.length === 0 ? 'nothing' : movesInWords(moves.length)}`,
    automatic: `decided on ${moves.length === 0 ? 'no move' : movesInWords(moves.length)}`,
  };
  return `Pass ${number} ${what[mode]}.`;
}

/** What came of a move, with what was expected beside what is. */
export function outcomeInWords(
  { vm, source, destination, expected }: BalancingMove,
  actual: NonNullable<BalancingMove['actual']>,
  migration: Pick<Migration, 'phase' | 'error' | 'id'> | undefined,
): string {
  if (migration === undefined) return `Nothing is kept of the migration of ${vm.name}.`;
  if (migration.phase !== 'succeeded') {
    return `${vm.name} was not moved: migration ${migration.id} ${migration.phase === 'failed' ? 'failed' : 'was cancelled'}${migration.error === null ? '.' : `, ${migration.error.message}`}`;
  }
  const compared = (endpoint: string, now: Amounts | null, then: Amounts) =>
    now === null ? `${endpoint} could not be asked` : `${endpoint} uses ${besides(now, then)}`;
  return `${vm.name} was moved: ${compared(source, actual.source, expected.source)}; ${compared(destination, actual.destination, expected.destination)}.`;
}

const besides = (now: Amounts, then: Amounts): string =>
  RESOURCES.filter((resource) => now[resource] !== null && then[resource] !== null)
    .map((resource) => `${nameOf(resource)} ${percent(now[resource])} (expected ${percent(then[resource])})`)
    .join(', ');
