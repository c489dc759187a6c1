/** Migrations in a table: who goes where, how far it is, and why it does not go on. */
import { asksForHand, type Migration } from '@lmas/client';
import { formatDuration } from '@lmas/format';
import { PHASES } from '../live/moving.ts';
import { href } from '../navigation.ts';
import { PhaseBadge } from './badge.tsx';
import { ProgressBar } from './progress-bar.tsx';
import { type Column, Table } from './table.tsx';
import { Time } from './time.tsx';

interface MigrationTableProps {
  readonly migrations: readonly Migration[];
  readonly caption: string;
  /** What the column is called that tells of progress, reasons and times. */
  readonly course?: string;
}

export function MigrationTable({ migrations, caption, course = 'Progress' }: MigrationTableProps) {
  return <Table caption={caption} rows={migrations} keyOf={({ id }) => id} columns={columnsFor(course)} />;
}

const columnsFor = (course: string): readonly Column<Migration>[] => [
  { title: 'VM', cell: (migration) => <Name migration={migration} />, sortBy: ({ vm }) => vm.name },
  { title: 'From', cell: ({ source }) => source.endpoint, sortBy: ({ source }) => source.endpoint },
  { title: 'To', cell: ({ destination }) => destination.endpoint, sortBy: ({ destination }) => destination.endpoint },
  {
    title: 'Phase',
    cell: (migration) => <PhaseBadge migration={migration} />,
    sortBy: ({ phase }) => PHASES.indexOf(phase),
  },
  {
    title: course,
    cell: (migration) => <Course migration={migration} />,
    sortBy: ({ progress }) => progress?.percent ?? null,
  },
  {
    title: 'Created',
    cell: ({ createdAt }) => <Time at={createdAt} />,
    sortBy: ({ createdAt }) => createdAt,
    isWideOnly: true,
  },
];

function Name({ migration: { id, vm, purpose } }: { migration: Migration }) {
  return (
    <a class="cut" href={href(`/migrations/${id}`)} title={vm.name}>
      {vm.name}
      {purpose === 'drill' ? ' (drill)' : purpose === 'relocation' ? ' (powered off)' : null}
    </a>
  );
}

/** How it goes while it goes, and how it went after. */
function Course({ migration }: { migration: Migration }) {
  const { phase, waiting, error, startedAt, endedAt } = migration;
  if (asksForHand(migration)) return <strong class="bad">needs a person</strong>;
  if (phase === 'queued' || waiting !== null) return <span class="muted">{waiting?.reason ?? 'waits'}</span>;
  if (phase === 'performing') return <ProgressBar migration={migration} />;
  if (phase === 'failed' && error !== null) {
    return (
      <span class="cut" title={error.message}>
        {error.message}
      </span>
    );
  }
  if (endedAt !== null && startedAt !== null) {
    return <span class="muted">took {formatDuration(Date.parse(endedAt) - Date.parse(startedAt))}</span>;
  }
  return null;
}
