/**
 * What most benchmarks find: named values under labels. The same labels measured again are the same
 * row of the table, which is their median. Pure.
 */

import { median } from '../statistics.ts';
import type { Table } from './table.ts';

export interface Sample {
  /** What was measured where, in the order of the columns. */
  readonly labels: Readonly<Record<string, string>>;
  /** null: could not be known. */
  readonly values: Readonly<Record<string, number | null>>;
  /** Why it cannot be trusted; empty if it can. */
  readonly disturbed: readonly string[];
}

export interface SampleRow extends Omit<Sample, 'disturbed'> {
  readonly measurements: number;
  readonly trusted: boolean;
}

/** Medians of trusted samples with the same labels; of all, where none can be trusted. */
export function summarize(samples: readonly Sample[]): SampleRow[] {
  const groups = Map.groupBy(samples, ({ labels }) => JSON.stringify(labels));
  return [...groups.values()].map((all) => {
    const quiet = all.filter(({ disturbed }) => disturbed.length === 0);
    const used = quiet.length > 0 ? quiet : all;
    const names = Object.keys(used[0]?.values ?? {});
    return {
      labels: used[0]?.labels ?? {},
      values: Object.fromEntries(names.map((name) => [name, medianOf(used, name)])),
      measurements: used.length,
      trusted: quiet.length > 0,
    };
  });
}

function medianOf(samples: readonly Sample[], name: string): number | null {
  const known = samples.map(({ values }) => values[name] ?? null).filter((value) => value !== null);
  return known.length > 0 ? median(known) : null;
}

/** How a value is printed: its title, with the unit, and its text. */
export interface Column {
  readonly title: string;
  readonly text: (value: number) => string;
}

export function sampleTable(rows: readonly SampleRow[], columns: Readonly<Record<string, Column>>): Table {
  const labels = Object.keys(rows[0]?.labels ?? {});
  return {
    head: [...labels, ...Object.values(columns).map(({ title }) => title)],
    names: labels.length,
    rows: rows.map((row) => [
      ...labels.map((label) => row.labels[label] ?? ''),
      ...Object.entries(columns).map(([name, { text }]) => {
        const value = row.values[name] ?? null;
        return `${value === null ? '—' : text(value)}${row.trusted ? '' : ' *'}`;
      }),
    ]),
  };
}

/** One sample in one line, as it comes. */
export function sampleLine({ labels, values, disturbed }: Sample, columns: Readonly<Record<string, Column>>): string {
  const told = Object.entries(columns).map(([name, { title, text }]) => {
    const value = values[name] ?? null;
    return `${title} ${value === null ? '—' : text(value)}`;
  });
  const warning = disturbed.length > 0 ? `  DISTURBED: ${disturbed.join(', ')}` : '';
  return `${Object.values(labels).join(', ')}: ${told.join('; ')}${warning}`;
}
