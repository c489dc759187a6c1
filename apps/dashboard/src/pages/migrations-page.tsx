/** All migrations, newest first, with filters that are part of the address. Live: a phase that changes shows at once. */
import type { MigrationListQuery } from '@lmas/client';
import { PHASES } from '../live/moving.ts';
import { href, place, refine } from '../navigation.ts';
import { Empty } from '../parts/empty.tsx';
import { MigrationTable } from '../parts/migration-table.tsx';
import { PageHeading } from '../parts/page-heading.tsx';
import { Paged, usePages } from '../parts/paged.tsx';
import { client, may } from '../session/session.ts';

const PAGE = 100;
const PROGRESS_EVERY_MS = 3_000;
const FILTERS = ['phase', 'needs', 'site', 'endpoint', 'vm', 'label', 'correlationId'] as const;

export function MigrationsPage() {
  const { query } = place.value;
  const filter = Object.fromEntries(
    FILTERS.map((name) => [name, query.get(name) ?? ''] as const).filter(([, value]) => value !== ''),
  );
  const pages = usePages(
    (page, options) => client().listMigrations({ ...(filter as MigrationListQuery), ...page, limit: PAGE }, options),
    [filter],
    { everyMs: PROGRESS_EVERY_MS, withNotices: true },
  );
  return (
    <>
      <PageHeading title="Migrations">
        {may('operator') ? (
          <span class="aside">
            <a class="button primary" href={href('/migrations/new')}>
              Move a VM
            </a>
          </span>
        ) : null}
      </PageHeading>
      <Filters values={filter} />
      <Paged pages={pages}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty>
              {Object.keys(filter).length === 0 ? (
                <p>No migration yet.</p>
              ) : (
                <p>
                  No migration fits. <a href={href('/migrations')}>Show all</a>
                </p>
              )}
            </Empty>
          ) : (
            <MigrationTable migrations={items} caption="Migrations, newest first" />
          )
        }
      </Paged>
    </>
  );
}

function Filters({ values }: { values: Readonly<Record<string, string>> }) {
  const set = (name: string, value: string) => refine({ ...values, [name]: value.trim() });
  const field = (name: (typeof FILTERS)[number], label: string, placeholder: string) => (
    <label>
      {label}
      <input
        type="search"
        value={values[name] ?? ''}
        placeholder={placeholder}
        onChange={({ currentTarget }) => set(name, currentTarget.value)}
      />
    </label>
  );
  return (
    <search class="filters">
      <label>
        Phase
        <select value={values.phase ?? ''} onChange={({ currentTarget }) => set('phase', currentTarget.value)}>
          <option value="">all</option>
          {PHASES.map((phase) => (
            <option key={phase}>{phase}</option>
          ))}
        </select>
      </label>
      <label>
        Needs
        <select value={values.needs ?? ''} onChange={({ currentTarget }) => set('needs', currentTarget.value)}>
          <option value="">anything</option>
          <option value="person">a person</option>
        </select>
      </label>
      {field('vm', 'VM', 'name or id')}
      {field('site', 'Site', 'from or to')}
      {field('endpoint', 'Endpoint', 'from or to')}
      {field('label', 'Label', 'name=value')}
      {field('correlationId', 'Correlation id', '')}
    </search>
  );
}
