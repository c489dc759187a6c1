/** The table of the tunnel benchmark, for people. Pure. */
import { type Cell, type Ratio, type Row, ratiosOf } from './measurement.ts';

const NOTHING = '—';

export function describeCell({ rateMbit, rttMs, lossPct }: Cell): string {
  const rate = rateMbit === 0 ? 'unshaped' : `${rateMbit} Mbit/s`;
  return `${rate}, ${rttMs} ms, ${lossPct} % loss`;
}

const COLUMNS: readonly [title: string, width: number][] = [
  ['contender', 13],
  ['Mbit/s', 8],
  ['from–to', 13],
  ['share', 7],
  ['to 90 %', 8],
  ['CPU s/GB', 9],
  ['from–to', 11],
  ['RSS MB', 7],
];

export function tableHead(): string {
  return COLUMNS.map(([title, width], i) => (i === 0 ? title.padEnd(width) : title.padStart(width))).join(' ');
}

export function tableLine(row: Row): string {
  const megabits = (bits: number): string => (bits / 1e6).toFixed(bits < 1e8 ? 1 : 0);
  const range = (values: readonly [number, number] | null, text: (value: number) => string): string =>
    values === null || row.measurements < 2 ? NOTHING : values.map(text).join('–');
  const values = [
    row.contender,
    megabits(row.goodputBitsPerSec),
    range(row.goodputSpread, megabits),
    row.linkShare === null ? NOTHING : `${(row.linkShare * 100).toFixed(1)} %`,
    row.timeTo90Ms === null ? NOTHING : `${(row.timeTo90Ms / 1_000).toFixed(1)} s`,
    row.cpuSecPerGB?.toFixed(2) ?? NOTHING,
    range(row.cpuSpread, (value) => value.toFixed(2)),
    (row.rssBytes / 1e6).toFixed(0),
  ];
  const line = values.map((value, i) => {
    const width = COLUMNS[i]?.[1] ?? 0;
    return i === 0 ? value.padEnd(width) : value.padStart(width);
  });
  return `${line.join(' ')}${row.trusted ? '' : `  DISTURBED: ${row.disturbed.join(', ')}`}`;
}

/** All rows, cell by cell, and how LMAS compares. */
export function renderTable(rows: readonly Row[]): string {
  const cells = Map.groupBy(rows, describeCell);
  const blocks = [...cells].map(([cell, ofCell]) => [`\n${cell}`, ...ofCell.map(tableLine)].join('\n'));
  return [tableHead(), ...blocks, '', ...renderRatios(ratiosOf(rows))].join('\n');
}

function renderRatios(ratios: readonly Ratio[]): string[] {
  if (ratios.length === 0) return [];
  const cells = Map.groupBy(ratios, ({ cell }) => describeCell(cell));
  const lines = [...cells].map(([cell, ofCell]) => `  ${cell}: ${ofCell.map(describeRatio).join('; ')}`);
  return ['LMAS beside the others (goodput; processor time per GB):', ...lines];
}

function describeRatio({ contender, goodput, cpu }: Ratio): string {
  const times = `${goodput.toFixed(goodput < 10 ? 2 : 0)} ×`;
  return `${contender} ${times}${cpu === null ? '' : `, CPU ${cpu.toFixed(2)} ×`}`;
}
