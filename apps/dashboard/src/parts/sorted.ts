/** Rows in the order that their reader chose. Pure. */

export interface Order {
  readonly column: number;
  readonly isDescending: boolean;
}

/** Names as people count (web-2 before web-10). What is not known goes last either way; equals keep their order. */
export function sorted<Row>(
  rows: readonly Row[],
  by: (row: Row) => string | number | null,
  isDescending: boolean,
): readonly Row[] {
  const sign = isDescending ? -1 : 1;
  return rows.toSorted((one, other) => {
    const [a, b] = [by(one), by(other)];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    return sign * (typeof a === 'number' && typeof b === 'number' ? a - b : compareNames(String(a), String(b)));
  });
}

const compareNames = new Intl.Collator('en', { numeric: true }).compare;
