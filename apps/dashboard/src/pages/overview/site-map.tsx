/**
 * The sites and the links between them as a picture: sites on a circle, a line for each link that somebody measured, set or
 * uses, the thicker the more moves over it, with what it carries now. The same in a table below it.
 */
import type { Site } from '@lmas/client';
import { formatBitRate } from '@lmas/format';
import { useResource } from '../../live/resource.ts';
import { href } from '../../navigation.ts';
import { Empty } from '../../parts/empty.tsx';
import { Loaded } from '../../parts/loaded.tsx';
import { client, mayForAll } from '../../session/session.ts';
import { type LoadedLink, withLoads } from './link-load.ts';
import { LinkTable } from './link-table.tsx';

const WIDTH = 760;
const HEIGHT = 280;
/** Two sites stand side by side. */
const HEIGHT_OF_TWO = 96;
const BOX = { width: 132, height: 40 };
/** More than these are no picture any more. */
const MAX_DRAWN = 12;
const EVERY_MS = 3_000;

export function SiteMap() {
  const seesLinks = mayForAll('viewer');
  const places = useResource(
    async (options) => ({
      sites: await client().listSites(options),
      links: seesLinks ? await client().listLinks(options) : [],
      gateways: await client().listGateways(options),
    }),
    [seesLinks],
    { everyMs: EVERY_MS, withNotices: true },
  );
  return (
    <section aria-labelledby="links">
      <h2 id="links">Sites and links</h2>
      <Loaded of={places}>
        {({ sites, links, gateways }) => {
          const loaded = withLoads(links, gateways);
          if (sites.length === 0) {
            return (
              <Empty>
                <p>
                  There is no site yet. <a href={href('/sites')}>Sites</a> says how to add one.
                </p>
              </Empty>
            );
          }
          return (
            <>
              {sites.length > MAX_DRAWN || sites.length < 2 ? null : <Picture sites={sites} links={loaded} />}
              {loaded.length === 0 ? <NothingKnown seesLinks={seesLinks} /> : <LinkTable links={loaded} />}
            </>
          );
        }}
      </Loaded>
    </section>
  );
}

function NothingKnown({ seesLinks }: { seesLinks: boolean }) {
  if (!seesLinks) return null;
  return (
    <p class="muted">
      Nothing is known of any link yet: <a href={href('/sites')}>measure one</a>, so that times can be predicted.
    </p>
  );
}

interface Spot {
  readonly x: number;
  readonly y: number;
}

function Picture({ sites, links }: { sites: readonly Site[]; links: readonly LoadedLink[] }) {
  const height = sites.length === 2 ? HEIGHT_OF_TWO : HEIGHT;
  const spots = new Map(
    sites.map(({ id }, i) => {
      const angle = Math.PI + (2 * Math.PI * i) / sites.length;
      const x = WIDTH / 2 + Math.cos(angle) * (WIDTH / 2 - BOX.width / 2 - 16);
      return [id, { x, y: height / 2 + Math.sin(angle) * (HEIGHT / 2 - BOX.height) }];
    }),
  );
  return (
    <svg
      class="site-map wide-only"
      viewBox={`0 0 ${WIDTH} ${height}`}
      role="img"
      aria-label="Map of sites and links; the table below says the same"
    >
      {links.map((one) => {
        const [a, b] = one.link.sites.map((id) => spots.get(id));
        return a === undefined || b === undefined ? null : <Line key={one.link.id} link={one} a={a} b={b} />;
      })}
      {[...spots].map(([id, { x, y }]) => (
        <g key={id} class="site">
          <rect x={x - BOX.width / 2} y={y - BOX.height / 2} width={BOX.width} height={BOX.height} rx="8" />
          <text x={x} y={y + 5} text-anchor="middle">
            {id.length > 16 ? `${id.slice(0, 15)}…` : id}
          </text>
        </g>
      ))}
    </svg>
  );
}

/** Of a letter of the captions, on average. */
const LETTER = 6.4;

function Line({ link, a, b }: { link: LoadedLink; a: Spot; b: Spot }) {
  const caption = captionOf(link);
  const width = caption.length * LETTER + 14;
  // Lines through the middle would all have their captions there.
  const middle = { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  const isCentral = Math.abs(a.y - b.y) > 1 && Math.hypot(middle.x - WIDTH / 2, middle.y - HEIGHT / 2) < 30;
  const at = isCentral ? { x: a.x + (b.x - a.x) * 0.36, y: a.y + (b.y - a.y) * 0.36 } : middle;
  const { running } = link.link;
  return (
    <g class={running > 0 ? 'link busy' : 'link'}>
      <line x1={a.x} y1={a.y} x2={b.x} y2={b.y} stroke-width={Math.min(10, 2 + running)} />
      {caption === '' ? null : (
        <>
          <rect x={at.x - width / 2} y={at.y - 11} width={width} height="22" rx="11" />
          <text x={at.x} y={at.y + 4} text-anchor="middle">
            {caption}
          </text>
        </>
      )}
    </g>
  );
}

function captionOf({ link: { running }, carriesBitsPerSec, capacityBitsPerSec }: LoadedLink): string {
  const capacity = capacityBitsPerSec === null ? '' : formatBitRate(capacityBitsPerSec);
  if (running === 0) return capacity;
  const now = formatBitRate(carriesBitsPerSec);
  return `${running} moving, ${now}${capacity === '' ? '' : ` of ${capacity}`} in tunnels`;
}
