/** What somebody has named of the destination. A name that nothing bears, or several, is one finding among others, and hides none. Pure. */
import { ambiguity, rowsNamed } from '../pool.ts';
import type { Gap } from './plan.ts';

type Named = { readonly uuid: string; readonly name_label: string };

/** @param none what to say where nothing has that name; its kind is also that of the other gap */
export function oneNamed<T extends Named>(
  table: ReadonlyMap<string, T>,
  name: string,
  what: string,
  gaps: Gap[],
  none: Gap,
): readonly [ref: string, record: T] | undefined {
  const rows = rowsNamed(table, name);
  const [row] = rows;
  if (row !== undefined && rows.length === 1) return row;
  const several: Gap = {
    kind: none.kind,
    message: ambiguity(what, name, rows),
    remedy: 'Name one of them by its UUID.',
  };
  gaps.push(rows.length === 0 ? none : several);
  return undefined;
}
