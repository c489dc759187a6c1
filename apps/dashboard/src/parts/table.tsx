/**
 * Things of one kind, one a row: sorted by whatever column its reader likes, and on a phone each row a card of its own with
 * the names of the columns in it, so that nothing hides beyond the edge.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Order, sorted } from './sorted.ts';

export interface Column<Row> {
  readonly title: string;
  readonly cell: (row: Row) => ComponentChildren;
  /** What the rows are sorted by when this column is chosen; without it, it cannot be. null goes last. */
  readonly sortBy?: (row: Row) => string | number | null;
  /** The title says nothing that the cells do not: read out, not shown. */
  readonly isUntitled?: boolean;
  readonly isNumber?: boolean;
  /** Left out where the window is narrow. */
  readonly isWideOnly?: boolean;
}

interface TableProps<Row> {
  /** Read out, not shown: the heading above says the same. */
  readonly caption: string;
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string | number;
  /** The first one names the row. */
  readonly columns: readonly Column<Row>[];
}

export function Table<Row>({ caption, rows, keyOf, columns }: TableProps<Row>) {
  const [order, setOrder] = useState<Order | null>(null);
  const by = order === null ? undefined : columns[order.column]?.sortBy;
  const shown = order === null || by === undefined ? rows : sorted(rows, by, order.isDescending);
  return (
    <div class="scroll">
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column, i) => (
              <Head key={column.title} column={column} at={i} order={order} onOrder={setOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          {shown.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map((column, i) => {
                const { title, cell, isUntitled = false } = column;
                if (i === 0)
                  return (
                    <th key={title} scope="row">
                      {cell(row)}
                    </th>
                  );
                return (
                  <td key={title} class={classOf(column)} data-title={isUntitled ? undefined : title}>
                    {cell(row)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const classOf = ({ isNumber = false, isWideOnly = false }: Pick<Column<never>, 'isNumber' | 'isWideOnly'>) =>
  [isNumber ? 'number' : '', isWideOnly ? 'wide-only' : ''].filter((name) => name !== '').join(' ') || undefined;

interface HeadProps<Row> {
  readonly column: Column<Row>;
  readonly at: number;
  readonly order: Order | null;
  readonly onOrder: (order: Order | null) => void;
}

/** Upwards, downwards, and back to the order in which the rows came. */
function Head<Row>({ column, at, order, onOrder }: HeadProps<Row>) {
  const { title, sortBy, isUntitled = false } = column;
  const mine = order?.column === at ? order : null;
  const next = mine === null ? { column: at, isDescending: false } : { column: at, isDescending: true };
  const direction = mine === null ? undefined : mine.isDescending ? 'descending' : 'ascending';
  return (
    <th scope="col" class={classOf(column)} aria-sort={direction}>
      {sortBy === undefined ? (
        <span class={isUntitled ? 'unseen' : undefined}>{title}</span>
      ) : (
        <button type="button" class="sort" onClick={() => onOrder(mine?.isDescending === true ? null : next)}>
          {title}
          <span aria-hidden="true">{mine === null ? '' : mine.isDescending ? ' ↓' : ' ↑'}</span>
        </button>
      )}
    </th>
  );
}
