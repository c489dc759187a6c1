/** The links between sites: what is known of each, and a test that measures one. */
import type { Site } from '@lmas/client';
import { formatBitRate } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Loaded } from '../../parts/loaded.tsx';
import { Table } from '../../parts/table.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { limitWords, linkName, linkPath, Measurements } from './link-words.tsx';
import { MeasureLink } from './measure-link.tsx';

export function Links({ sites }: { sites: readonly Site[] }) {
  const links = useResource((options) => client().listLinks(options), [], { everyMs: 10_000 });
  return (
    <section aria-labelledby="links">
      <h2 id="links">Links</h2>
      <Loaded of={links}>
        {(items) => (
          <Table
            caption="Links between sites"
            rows={items}
            keyOf={({ id }) => id}
            columns={[
              {
                title: 'Link',
                cell: (link) => <a href={href(linkPath(link))}>{linkName(link)}</a>,
                sortBy: ({ id }) => id,
              },
              { title: 'Moving', cell: ({ running }) => running, sortBy: ({ running }) => running },
              {
                title: 'Set rate',
                cell: ({ rateBitsPerSec: rate }) => (rate === null ? '–' : formatBitRate(rate)),
                sortBy: ({ rateBitsPerSec }) => rateBitsPerSec,
              },
              { title: 'Limits', cell: limitWords },
              { title: 'Measured', cell: (link) => <Measurements of={link} /> },
            ]}
          />
        )}
      </Loaded>
      {mayForAll('operator') ? (
        <MeasureLink sites={sites.filter(({ gateway }) => gateway !== null)} onMeasured={links.reload} />
      ) : null}
    </section>
  );
}
