/** The links that are known, in words and numbers: what moves over each, what it carries now, what it can carry. */
import { formatBitRate, formatByteRate } from '@lmas/format';
import { href } from '../../navigation.ts';
import { Table } from '../../parts/table.tsx';
import type { LoadedLink } from './link-load.ts';

export function LinkTable({ links }: { links: readonly LoadedLink[] }) {
  return (
    <Table
      caption="Links and their load"
      rows={links}
      keyOf={({ link }) => link.id}
      columns={[
        {
          title: 'Link',
          cell: ({ link }) => <a href={href(`/links/${link.id}`)}>{link.sites.join(' – ')}</a>,
          sortBy: ({ link }) => link.id,
        },
        {
          title: 'Moving',
          cell: ({ link: { running, limits } }) =>
            `${running}${limits.maxMigrations === null ? '' : ` of at most ${limits.maxMigrations}`}`,
          sortBy: ({ link }) => link.running,
        },
        {
          // What moves directly is measured by nobody.
          title: 'Carries now in tunnels',
          cell: (link) => <Load link={link} />,
          sortBy: ({ carriesBitsPerSec }) => carriesBitsPerSec,
        },
        {
          title: 'Round trip',
          cell: ({ link: { measurements } }) =>
            measurements[0] === undefined ? (
              <span class="muted">not measured</span>
            ) : (
              `${measurements[0].rttMinMs.toFixed(1)} ms`
            ),
          sortBy: ({ link }) => link.measurements[0]?.rttMinMs ?? null,
        },
        {
          title: 'Limited to',
          cell: ({ link: { limits } }) =>
            limits.bandwidthBytesPerSec === null ? (
              <span class="muted">unlimited</span>
            ) : (
              formatByteRate(limits.bandwidthBytesPerSec)
            ),
          sortBy: ({ link }) => link.limits.bandwidthBytesPerSec,
        },
      ]}
    />
  );
}

function Load({ link: { link, carriesBitsPerSec, capacityBitsPerSec } }: { link: LoadedLink }) {
  const now = formatBitRate(carriesBitsPerSec);
  if (capacityBitsPerSec === null) return <span class="numbers">{now}</span>;
  return (
    <div class="progress">
      <progress max={capacityBitsPerSec} value={carriesBitsPerSec} aria-label={`Load of ${link.sites.join(' – ')}`} />
      <span class="numbers">
        {now} of {formatBitRate(capacityBitsPerSec)}
      </span>
    </div>
  );
}
