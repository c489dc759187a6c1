/** Who changed what, or tried to, and from where. */
import type { AuditEntry, AuditQuery } from '@lmas/client';
import { place, refine } from '../navigation.ts';
import { Badge, type Tone } from '../parts/badge.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { Paged, usePages } from '../parts/paged.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { client } from '../session/session.ts';

const TONES: Readonly<Record<AuditEntry['outcome'], Tone>> = { done: 'good', refused: 'warning', failed: 'bad' };
const PAGE = 100;
const isOutcome = (name: string): name is AuditEntry['outcome'] => name in TONES;

export function AuditPage() {
  const { query } = place.value;
  const strangers = query.get('strangers') === 'true';
  const outcome = query.get('outcome') ?? '';
  const log = usePages(
    (page, options) => {
      const wanted: AuditQuery = { ...page, limit: PAGE, strangers: String(strangers) };
      if (isOutcome(outcome)) wanted.outcome = outcome;
      return client().listAudit(wanted, options);
    },
    [strangers, outcome],
  );
  return (
    <>
      <PageHeading title="Audit log" />
      <search class="filters">
        <label>
          Outcome
          <select
            value={outcome}
            onChange={({ currentTarget }) =>
              refine({ outcome: currentTarget.value, strangers: strangers ? 'true' : '' })
            }
          >
            <option value="">all</option>
            {Object.keys(TONES).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={strangers}
            onChange={({ currentTarget }) => refine({ outcome, strangers: currentTarget.checked ? 'true' : '' })}
          />
          Attempts without a valid login
        </label>
      </search>
      <Paged pages={log}>
        {({ items, kept }) => (
          <>
            <p class="muted">
              {kept.entries} entries are kept, at most {kept.maxEntries}
              {strangers ? '' : ' of each project'}.
            </p>
            <Entries entries={items} />
          </>
        )}
      </Paged>
    </>
  );
}

function Entries({ entries }: { entries: readonly AuditEntry[] }) {
  if (entries.length === 0) return <p class="muted">Nothing.</p>;
  return (
    <Table
      caption="Audit log, newest first"
      rows={entries}
      keyOf={({ id }) => id}
      columns={[
        { title: 'When', cell: ({ at }) => <Time at={at} />, sortBy: ({ at }) => at },
        {
          title: 'Who',
          cell: ({ caller }) => <span title={caller?.id}>{caller?.name ?? 'a stranger'}</span>,
          sortBy: ({ caller }) => caller?.name ?? null,
        },
        { title: 'What', cell: ({ operation }) => operation, sortBy: ({ operation }) => operation },
        { title: 'Of what', cell: ({ target }) => <span class="long">{target}</span> },
        {
          title: 'Outcome',
          cell: ({ outcome, code }) => (
            <span>
              <Badge tone={TONES[outcome]}>{outcome}</Badge> <span class="code">{code ?? ''}</span>
            </span>
          ),
          sortBy: ({ outcome }) => outcome,
        },
        { title: 'From', cell: ({ address }) => address, isWideOnly: true },
      ]}
    />
  );
}
