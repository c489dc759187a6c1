/** Tables of text, for a terminal and for Markdown. The first columns name what the others measure. Pure. */

export interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** So many columns from the left are names, and stand at the left. */
  readonly names: number;
}

export function textTable({ head, rows, names }: Table): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((value, i) => (i < names ? value.padEnd(widths[i] ?? 0) : value.padStart(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [head, ...rows].map(line).join('\n');
}

export function markdownTable({ head, rows, names }: Table): string {
  const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`;
  const rule = head.map((_, i) => (i < names ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
