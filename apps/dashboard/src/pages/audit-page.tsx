/** Who changed what, or tried to, and from where. What is looked for is part of the address. */
import type { AuditEntry } from '@lmas/client';
import { href, place, refine } from '../navigation.ts';
import { Badge, type Tone } from '../parts/badge.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { Paged, usePages } from '../parts/paged.tsx';
import { Table } from '../parts/table.tsx';
import { Time } from '../parts/time.tsx';
import { client } from '../session/session.ts';
import { type AuditFilter, auditQueryOf, filterOf } from './audit-filter.ts';

const TONES: Readonly<Record<AuditEntry['outcome'], Tone>> = { done: 'good', refused: 'warning', failed: 'bad' };
const PAGE = 100;

export function AuditPage() {
  const filter = filterOf(place.value.query);
  const log = usePages(
    (page, options) => client().listAudit({ ...auditQueryOf(filter), ...page, limit: PAGE }, options),
    [filter],
  );
  return (
    <>
      <PageHeading title="Audit log" />
      <Filters filter={filter} />
      <Paged pages={log}>
        {({ items, kept }) => (
          <>
            <p class="muted">
              {kept.entries} entries are kept, at most {kept.maxEntries}
              {filter.strangers === 'true' ? '' : ' of each project'}.
            </p>
            <Entries entries={items} filter={filter} />
          </>
        )}
      </Paged>
    </>
  );
}

function Filters({ filter }: { filter: AuditFilter }) {
  const set = (name: keyof AuditFilter, value: string) => refine({ ...filter, [name]: value.trim() });
  const field = (name: keyof AuditFilter, label: string, placeholder: string, type = 'search') => (
    <label>
      {label}
      <input
        type={type as 'search'}
        value={filter[name] ?? ''}
        placeholder={placeholder}
        onChange={({ currentTarget }) => set(name, currentTarget.value)}
      />
    </label>
  );
  return (
    <search class="filters">
      <label>
        Outcome
        <select value={filter.outcome ?? ''} onChange={({ currentTarget }) => set('outcome', currentTarget.value)}>
          <option value="">all</option>
          {Object.keys(TONES).map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      {field('caller', 'Who', 'id of a key or user')}
      {field('operation', 'What', 'createMigration')}
      {field('target', 'Of what', '/v1/migrations/…')}
      {field('since', 'Since', '', 'datetime-local')}
      {field('until', 'Until', '', 'datetime-local')}
      <label class="check">
        <input
          type="checkbox"
          checked={filter.strangers === 'true'}
          onChange={({ currentTarget }) => set('strangers', currentTarget.checked ? 'true' : '')}
        />
        Attempts without a valid login
      </label>
    </search>
  );
}

function Entries({ entries, filter }: { entries: readonly AuditEntry[]; filter: AuditFilter }) {
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
          cell: ({ caller }) =>
            caller === null ? (
              'a stranger'
            ) : (
              <a href={href('/audit', { ...filter, caller: caller.id })} title={`All that ${caller.id} did`}>
                {caller.name}
              </a>
            ),
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
