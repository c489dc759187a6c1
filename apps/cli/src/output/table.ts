/**
 * Tables that fit the terminal. When the rows are too wide: first the long cells of columns that may be cut are cut, then
 * columns are left out (highest `dropOrder` first), and at last every row becomes a small block of `TITLE value` lines. A
 * column without `minWidth` is never cut: ids have to be copied. Without a width (a pipe, a file) only what is absurdly long
 * is cut: one such cell would make every line as long.
 */
import { displayWidth, pad, printable, truncate } from './text.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string;
  readonly align?: 'left' | 'right';
  /** May be cut down to so many columns. */
  readonly minWidth?: number;
  /** May be left out; the highest goes first. */
  readonly dropOrder?: number;
}

const GAP = 2;
/** Of cells that may be cut, whatever the width; no name that LMAS accepts is longer. */
const LONGEST_CELL = 255;

/** Renders with a trailing newline. `width`: columns of the terminal; Infinity when there is none. */
export function renderTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  let visible = [...columns];
  for (;;) {
    const cells = rows.map((row) => visible.map((column) => cellOf(column, row)));
    const widths = fit(visible, cells, width);
    if (widths !== null) return renderLines(visible, cells, widths);
    const victim = visible.reduce<Column<Row> | null>(
      (most, column) => ((column.dropOrder ?? 0) > (most?.dropOrder ?? 0) ? column : most),
      null,
    );
    if (victim === null) return renderBlocks(columns, rows, width);
    visible = visible.filter((column) => column !== victim);
  }
}

function cellOf<Row>({ value, minWidth }: Column<Row>, row: Row): string {
  const text = printable(value(row));
  return minWidth === undefined ? text : truncate(text, LONGEST_CELL);
}

/** The width of each column, or null when they cannot be made to fit. */
function fit<Row>(columns: readonly Column<Row>[], cells: readonly string[][], width: number): number[] | null {
  const widths = columns.map(({ title }, index) =>
    Math.max(displayWidth(title), ...cells.map((row) => displayWidth(row[index] ?? ''))),
  );
  const floors = columns.map(({ title, minWidth }, index) =>
    minWidth === undefined ? (widths[index] ?? 0) : Math.max(minWidth, displayWidth(title)),
  );
  const room = width - GAP * (columns.length - 1);
  let excess = widths.reduce((sum, one) => sum + one, 0) - room;
  while (excess > 0) {
    const widest = widths.reduce(
      (best, one, index) => (one > (floors[index] ?? 0) && (best === -1 || one > (widths[best] ?? 0)) ? index : best),
      -1,
    );
    if (widest === -1) return null;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  return widths;
}

function renderLines<Row>(
  columns: readonly Column<Row>[],
  cells: readonly string[][],
  widths: readonly number[],
): string {
  const line = (values: readonly string[]) =>
    values
      .map((value, index) => pad(truncate(value, widths[index] ?? 0), widths[index] ?? 0, columns[index]?.align))
      .join(' '.repeat(GAP))
      .trimEnd();
  return [columns.map(({ title }) => title), ...cells].map((values) => `${line(values)}\n`).join('');
}

function renderBlocks<Row>(columns: readonly Column<Row>[], rows: readonly Row[], width: number): string {
  return rows
    .map((row) =>
      renderFields(
        columns.map((column) => [column.title, cellOf(column, row)] as const),
        width,
      ),
    )
    .join('\n');
}

/** `TITLE  value` lines; long values are wrapped under themselves by the terminal, never cut. Empty ones are left out. */
export function renderFields(fields: readonly (readonly [title: string, value: string])[], _width: number): string {
  const shown = fields.filter(([, value]) => value !== '');
  const titleWidth = Math.max(0, ...shown.map(([title]) => displayWidth(title)));
  return shown
    .map(([title, value]) => {
      const [first = '', ...rest] = value.split('\n').map((line) => printable(line));
      const indent = ' '.repeat(titleWidth + GAP);
      return [`${pad(title, titleWidth)}${' '.repeat(GAP)}${first}`, ...rest.map((line) => indent + line)].join('\n');
    })
    .map((line) => `${line}\n`)
    .join('');
}
