/** The links between sites: what is known of each, a test that measures one, and its limits. */
import type { Link, LinkTest, Site } from '@lmas/client';
import { formatBitRate, formatByteRate } from '@lmas/format';
import { useState } from 'preact/hooks';
import { useResource } from '../../live/resource.ts';
import { Confirmation } from '../../parts/dialog.tsx';
import { Findings } from '../../parts/findings.tsx';
import { BandwidthField, CountField } from '../../parts/limit-fields.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { Problem } from '../../parts/problem.tsx';
import { Table } from '../../parts/table.tsx';
import { Time } from '../../parts/time.tsx';
import { useAction } from '../../parts/use-action.ts';
import { client, mayForAll } from '../../session/session.ts';

export function Links({ sites }: { sites: readonly Site[] }) {
  const links = useResource((options) => client().listLinks(options), [], { everyMs: 10_000 });
  const [limiting, limit] = useState<Link | null>(null);
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
              { title: 'Link', cell: ({ sites: ends }) => ends.join(' – '), sortBy: ({ id }) => id },
              { title: 'Moving', cell: ({ running }) => running, sortBy: ({ running }) => running },
              {
                title: 'Set rate',
                cell: ({ rateBitsPerSec: rate }) => (rate === null ? '–' : formatBitRate(rate)),
                sortBy: ({ rateBitsPerSec }) => rateBitsPerSec,
              },
              { title: 'Limits', cell: limitWords },
              { title: 'Measured', cell: (link) => <Measurements of={link} /> },
              ...(mayForAll('admin')
                ? [
                    {
                      title: 'Actions',
                      isUntitled: true,
                      cell: (link: Link) => (
                        <button type="button" onClick={() => limit(link)}>
                          Change<span class="unseen"> {link.id}</span> …
                        </button>
                      ),
                    },
                  ]
                : []),
            ]}
          />
        )}
      </Loaded>
      {limiting === null ? null : (
        <Limits
          link={limiting}
          onClose={() => {
            limit(null);
            links.reload();
          }}
        />
      )}
      {mayForAll('operator') ? (
        <Test sites={sites.filter(({ gateway }) => gateway !== null)} onMeasured={links.reload} />
      ) : null}
    </section>
  );
}

function limitWords({ limits }: Link): string {
  const words = [
    limits.maxMigrations === null ? '' : `at most ${limits.maxMigrations} at once`,
    limits.bandwidthBytesPerSec === null ? '' : formatByteRate(limits.bandwidthBytesPerSec),
  ].filter((word) => word !== '');
  return words.length === 0 ? 'none' : words.join(', ');
}

function Measurements({ of: { measurements } }: { of: Link }) {
  if (measurements.length === 0) return <span class="muted">never</span>;
  return (
    <ul class="bare">
      {measurements.map(({ source, destination, goodputBitsPerSec, rttMinMs, lossPct, measuredAt }) => (
        <li key={source}>
          {source} → {destination}: {goodputBitsPerSec === null ? '' : `${formatBitRate(goodputBitsPerSec)}, `}
          {rttMinMs.toFixed(1)} ms{lossPct === null ? '' : `, ${lossPct.toFixed(2)} % lost`}{' '}
          <span class="muted">
            <Time at={measuredAt} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function Limits({ link, onClose }: { link: Link; onClose: () => void }) {
  const [maxMigrations, setMax] = useState(link.limits.maxMigrations);
  const [bandwidthBytesPerSec, setBandwidth] = useState(link.limits.bandwidthBytesPerSec);
  const [rateBytesPerSec, setRate] = useState(link.rateBitsPerSec === null ? null : link.rateBitsPerSec / 8);
  const action = useAction(
    async () =>
      await client().updateLink(link.id, {
        rateBitsPerSec: rateBytesPerSec === null ? null : Math.round(rateBytesPerSec * 8),
        limits: { maxMigrations, bandwidthBytesPerSec },
      }),
  );
  return (
    <Confirmation title={`The link ${link.sites.join(' – ')}`} verb="Set" {...{ action, onClose }}>
      <BandwidthField
        label="It is said to carry"
        empty="not set: as it is measured"
        value={rateBytesPerSec}
        onChange={setRate}
      />
      <CountField label="At most so many migrations at once" value={maxMigrations} onChange={setMax} />
      <BandwidthField label="All of them together at most" value={bandwidthBytesPerSec} onChange={setBandwidth} />
    </Confirmation>
  );
}

function Test({ sites, onMeasured }: { sites: readonly Site[]; onMeasured: () => void }) {
  const [source, setSource] = useState('');
  const [destination, setDestination] = useState('');
  const [result, setResult] = useState<LinkTest | null>(null);
  const test = useAction(async () => {
    setResult(null);
    setResult(await client().testLink({ source, destination }));
    onMeasured();
  });
  if (sites.length < 2)
    return <p class="muted">A link can be measured between two sites that have a gateway machine.</p>;
  const choice = (label: string, value: string, set: (id: string) => void, except: string) => (
    <label>
      {label}
      <select required value={value} onChange={({ currentTarget }) => set(currentTarget.value)}>
        <option value="">choose</option>
        {sites
          .filter(({ id }) => id !== except)
          .map(({ id }) => (
            <option key={id}>{id}</option>
          ))}
      </select>
    </label>
  );
  return (
    <form
      class="row"
      onSubmit={(event) => {
        event.preventDefault();
        void test.run();
      }}
    >
      {choice('Measure from', source, setSource, destination)}
      {choice('to', destination, setDestination, source)}
      <button type="submit" disabled={test.busy}>
        {test.busy ? 'Measuring …' : 'Measure'}
      </button>
      <p class="hint">Two gateways are started and fill the link for some seconds.</p>
      <Problem error={test.error} />
      {result === null ? null : <Findings findings={result.findings} />}
    </form>
  );
}
