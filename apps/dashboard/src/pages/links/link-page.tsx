/** One link: what it carries and is said to carry, how far it may be used, and when. */
import type { Link } from '@lmas/client';
import { formatBitRate, formatByteRate } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { Fields } from '../../parts/fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { PageHeading } from '../../parts/page-heading.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { LinkLimits } from './link-limits.tsx';
import { linkName, linkPath, Measurements } from './link-words.tsx';
import { MeasureLink } from './measure-link.tsx';
import { TimetableSection } from './timetable-section.tsx';

export function LinkPage({ id }: { id: string }) {
  const link = useResource((options) => client().getLink(id, options), [id], { everyMs: 10_000, withNotices: true });
  const [changing, change] = useState<Link | null>(null);
  return (
    <>
      <PageHeading title={id.replace('~', ' – ')} within={['Sites', '/sites']}>
        {mayForAll('admin') && link.data !== undefined ? (
          <span class="aside">
            <button type="button" onClick={() => change(link.data ?? null)}>
              Change …
            </button>
          </span>
        ) : null}
      </PageHeading>
      <Loaded of={link}>{(data) => <Facts link={data} />}</Loaded>
      <TimetableSection link={id} changePath={`${linkPath({ id })}/timetable`} mayChange={mayForAll('admin')} />
      <h2>Measured</h2>
      <Loaded of={link}>
        {(data) => (
          <>
            <Measurements of={data} />
            {mayForAll('operator') ? <Measure of={data} onMeasured={link.reload} /> : null}
          </>
        )}
      </Loaded>
      {changing === null ? null : (
        <LinkLimits
          link={changing}
          onClose={() => {
            change(null);
            link.reload();
          }}
        />
      )}
    </>
  );
}

function Facts({ link: { running, limits, rateBitsPerSec } }: { link: Link }) {
  const { maxMigrations, bandwidthBytesPerSec } = limits;
  return (
    <Fields
      of={[
        ['Moving now', `${running}${maxMigrations === null ? '' : ` of at most ${maxMigrations}`}`],
        ['Is said to carry', rateBitsPerSec === null ? 'not set: as it is measured' : formatBitRate(rateBitsPerSec)],
        ['All together at most', bandwidthBytesPerSec === null ? 'unlimited' : formatByteRate(bandwidthBytesPerSec)],
      ]}
    />
  );
}

/** Between these two only, if both have a gateway machine. */
function Measure({ of, onMeasured }: { of: Link; onMeasured: () => void }) {
  const sites = useResource((options) => client().listSites(options), []);
  return (
    <Loaded of={sites}>
      {(all) => (
        <MeasureLink
          key={linkName(of)}
          sites={all.filter(({ id, gateway }) => of.sites.includes(id) && gateway !== null)}
          onMeasured={onMeasured}
        />
      )}
    </Loaded>
  );
}
