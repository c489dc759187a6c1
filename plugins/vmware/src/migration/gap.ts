/** What is missing for a plan, told with all the rest instead of ending it. Pure. */
import { allNamed, type Named } from '../inventory/places.ts';

export interface Gap {
  readonly kind: 'site' | 'source-host' | 'host' | 'pool' | 'folder' | 'storage' | 'network' | 'network-unknown';
  readonly message: string;
  readonly remedy: string;
}

/** By name or id; one that is not there is the gap `missing`, and one that is there several times is a gap, too. */
export function findOrGap<T extends Named>(
  rows: readonly T[],
  wanted: string,
  missing: Gap,
  gaps: Gap[],
): T | undefined {
  const [found, ...others] = allNamed(rows, wanted);
  if (found === undefined) gaps.push(missing);
  if (others.length === 0) return found;
  const ids = [found, ...others].map((row) => row?.ref.value).join(', ');
  gaps.push({
    kind: missing.kind,
    message: `There are several called ${wanted}: ${ids}.`,
    remedy: 'Name it by its id.',
  });
  return undefined;
}
