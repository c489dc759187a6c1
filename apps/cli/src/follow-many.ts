/**
 * `lmas list --watch`: follows the migrations of a list until none of them is under way. One that comes while it is looked at
 * is followed, too; one that a filter no longer shows is followed to its end.
 */
import { hasEnded, type LmasClient, type Migration } from '@lmas/client';
import { formatByteRate, formatClock } from '@lmas/format';
import type { Invocation } from './command.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { outcomeCode } from './follow.ts';
import { describePhase, placeInShort } from './output/migration-row.ts';
import { describeOutcome } from './output/migration-text.ts';
import { renderBar } from './output/progress-line.ts';
import { type Column, renderTable } from './output/table.ts';
import { hasUnicode } from './terminal.ts';
import { type WatchedList, watchList } from './watch-list.ts';

/** Of a log: one line for each part of the way. */
const STEP_PERCENT = 10;
const BAR_WIDTH = 16;

/** @param list the migrations that are asked for, as they are now */
export function followMany(
  invocation: Invocation<object>,
  client: LmasClient,
  list: () => Promise<readonly Migration[]>,
): Promise<ExitCode> {
  const { terminal, signal } = invocation;
  const followed = new Map<string, Migration>();
  const columns = columnsFor(hasUnicode(terminal.env));

  const watched: WatchedList<Migration> = {
    async look() {
      const listed = await list();
      const ids = new Set(listed.map(({ id }) => id));
      const outOfSight = [...followed.values()].filter((one) => !ids.has(one.id));
      const others = await Promise.all(
        outOfSight.map((one) => (hasEnded(one) ? one : client.getMigration(one.id, { signal }))),
      );
      // What had ended before anybody looked is not what is waited for.
      for (const one of [...listed, ...others]) if (!hasEnded(one) || followed.has(one.id)) followed.set(one.id, one);
      return [...followed.values()].sort((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
    },
    id: ({ id }) => id,
    empty: 'Nothing to follow.',
    line: (migration) => `${migration.id}  ${hasEnded(migration) ? describeEnd(migration) : inSteps(migration)}`,
    screen: (rows, width) => `${renderTable(columns, rows, width)}\n${summaryOf(rows)}\n`,
    outcome: (rows) => (rows.every(hasEnded) ? worstOf(rows) : undefined),
  };
  return watchList(invocation, watched);
}

function worstOf(rows: readonly Migration[]): ExitCode {
  const codes = rows.map((migration) => outcomeCode(migration, 'succeeded'));
  if (codes.includes(EXIT.locationUnknown)) return EXIT.locationUnknown;
  return codes.includes(EXIT.failed) ? EXIT.failed : EXIT.ok;
}

const describeEnd = (migration: Migration): string => describeOutcome(migration, Date.now()).split('\n')[0] ?? '';

function inSteps(migration: Migration): string {
  const { vm, source, destination, progress, phase } = migration;
  const steps =
    phase === 'performing' && progress !== null
      ? ` ${Math.floor(progress.percent / STEP_PERCENT) * STEP_PERCENT} %`
      : '';
  return `${vm.name}  ${source.endpoint} → ${destination.endpoint}  ${describePhase({ ...migration, progress: null })}${steps}`;
}

function columnsFor(unicode: boolean): readonly Column<Migration>[] {
  const running = ({ phase, progress }: Migration) => (phase === 'performing' ? progress : null);
  return [
    { title: 'ID', value: ({ id }) => id, dropOrder: 5 },
    { title: 'VM', value: ({ vm }) => vm.name, minWidth: 8 },
    { title: 'FROM', value: ({ source }) => source.endpoint, minWidth: 6, dropOrder: 4 },
    { title: 'TO', value: ({ destination }) => destination.endpoint, minWidth: 6, dropOrder: 3 },
    { title: 'PHASE', value: describePhase },
    {
      title: 'PROGRESS',
      value: (one) => {
        const progress = running(one);
        return progress === null ? '' : renderBar(progress.percent, BAR_WIDTH, unicode);
      },
      dropOrder: 2,
    },
    {
      title: 'RATE',
      value: (one) => {
        const rate = running(one)?.rateBytesPerSec ?? null;
        return rate === null ? '' : formatByteRate(rate);
      },
      align: 'right',
    },
    {
      title: 'ETA',
      value: (one) => {
        const etaMs = running(one)?.etaMs ?? null;
        return etaMs === null ? '' : formatClock(etaMs);
      },
      align: 'right',
      dropOrder: 1,
    },
    { title: 'VM IS AT', value: placeInShort, dropOrder: 6 },
  ];
}

function summaryOf(rows: readonly Migration[]): string {
  const count = (is: (one: Migration) => boolean): number => rows.filter(is).length;
  const ended = (phase: string) => count((one) => one.phase === phase);
  const rate = rows.reduce(
    (sum, { phase, progress }) => sum + ((phase === 'performing' && progress?.rateBytesPerSec) || 0),
    0,
  );
  const parts = [
    `${count(({ phase }) => phase === 'queued')} wait`,
    `${count((one) => !hasEnded(one) && one.phase !== 'queued')} run${rate === 0 ? '' : ` at ${formatByteRate(rate)} together`}`,
    ...['succeeded', 'failed', 'cancelled'].flatMap((phase) =>
      ended(phase) === 0 ? [] : [`${ended(phase)} ${phase}`],
    ),
  ];
  return parts.join(', ');
}
