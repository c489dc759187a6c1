/** Links in words: what was measured of them, what limits them. */
import type { Link } from '@lmas/client';
import { formatBitRate, formatByteRate } from '@lmas/format';
import { Time } from '../../parts/time.tsx';

export const linkPath = ({ id }: Pick<Link, 'id'>): string => `/links/${id}`;
export const linkName = ({ sites }: Pick<Link, 'sites'>): string => sites.join(' – ');

export function limitWords({ limits }: Link): string {
  const words = [
    limits.maxMigrations === null ? '' : `at most ${limits.maxMigrations} at once`,
    limits.bandwidthBytesPerSec === null ? '' : formatByteRate(limits.bandwidthBytesPerSec),
  ].filter((word) => word !== '');
  return words.length === 0 ? 'none' : words.join(', ');
}

export function Measurements({ of: { measurements } }: { of: Link }) {
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
