/** The throughput for people: a line as it comes, and the tables at the end. Pure. */
import type { Table } from '../../report/table.ts';
import { type AutoBesideBest, autoBesideBest, LEAST_OF_BEST } from './auto.ts';
import { type Cell, type Measurement, type Ratio, type Row, ratiosOf, rowsOf } from './measurement.ts';

const NOTHING = '—';
const NAME_WIDTH = 13;

export function describeCell({ rateMbit, rttMs, lossPct }: Cell): string {
  const rate = rateMbit === 0 ? 'unshaped' : `${rateMbit} Mbit/s`;
  return `${rate}, ${rttMs} ms, ${lossPct} % loss`;
}

const megabits = (bits: number): string => (bits / 1e6).toFixed(bits < 1e8 ? 1 : 0);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
const hundredths = (value: number): string => value.toFixed(2);

function orNothing<T>(value: T | null, print: (value: T) => string): string {
  return value === null ? NOTHING : print(value);
}

export function measurementLine(one: Measurement): string {
  const told = [
    `${megabits(one.goodputBitsPerSec)} Mbit/s`,
    ...(one.linkShare === null ? [] : [percent(one.linkShare)]),
    ...(one.timeTo90Ms === null ? [] : [`90 % after ${(one.timeTo90Ms / 1_000).toFixed(1)} s`]),
    ...(one.cpuSecPerGB === null ? [] : [`CPU ${hundredths(one.cpuSecPerGB)} s/GB`]),
    `RSS ${(one.rssBytes / 1e6).toFixed(0)} MB`,
  ];
  const warning = one.disturbed.length > 0 ? `   DISTURBED: ${one.disturbed.join(', ')}` : '';
  return `  ${one.contender.padEnd(NAME_WIDTH)} ${told.join(', ')}${warning}`;
}

/** All rows, a table for each cell, how auto and how LMAS compare. @param render a table as text or as Markdown */
export function renderThroughput(measurements: readonly Measurement[], render: (table: Table) => string): string {
  const cells = Map.groupBy(rowsOf(measurements), describeCell);
  const blocks = [...cells].map(([cell, ofCell]) => `${cell}\n\n${render(tableOf(ofCell))}`);
  const auto = renderAuto(autoBesideBest(measurements), render);
  return [...blocks, auto, renderRatios(ratiosOf(measurements))].filter(Boolean).join('\n\n');
}

const HEAD = ['contender', 'Mbit/s', 'from–to', 'share', 'to 90 %', 'CPU s/GB', 'from–to', 'RSS MB', 'runs'];

function tableOf(rows: readonly Row[]): Table {
  const range = (row: Row, values: Row['cpuSpread'], print: (value: number) => string): string =>
    row.measurements < 2 ? NOTHING : orNothing(values, (known) => known.map(print).join('–'));
  return {
    head: HEAD,
    names: 1,
    rows: rows.map((row) => [
      `${row.contender}${row.trusted ? '' : ' *'}`,
      megabits(row.goodputBitsPerSec),
      range(row, row.goodputSpread, megabits),
      orNothing(row.linkShare, percent),
      orNothing(row.timeTo90Ms, (ms) => `${(ms / 1_000).toFixed(1)} s`),
      orNothing(row.cpuSecPerGB, hundredths),
      range(row, row.cpuSpread, hundredths),
      (row.rssBytes / 1e6).toFixed(0),
      String(row.measurements),
    ]),
  };
}

const AUTO_HEAD = ['link', 'best fixed', 'Mbit/s', 'auto', 'of medians', 'of passes', 'passes', 'within 10 %'];

function renderAuto(cells: readonly AutoBesideBest[], render: (table: Table) => string): string {
  if (cells.length === 0) return '';
  const kept = cells.filter(isWithin).length;
  const title = `Subflows: auto is within 10 % of the best fixed number in ${kept} of ${cells.length} cells, by the medians`;
  return `${title}\n\n${render({ head: AUTO_HEAD, names: 2, rows: cells.map(autoRow) })}`;
}

const isWithin = ({ ofMedians }: AutoBesideBest): boolean => ofMedians >= LEAST_OF_BEST;

function autoRow(one: AutoBesideBest): string[] {
  return [
    `${describeCell(one.cell)}${one.trusted ? '' : ' *'}`,
    one.best,
    megabits(one.bestBitsPerSec),
    megabits(one.autoBitsPerSec),
    hundredths(one.ofMedians),
    orNothing(one.ofPasses, hundredths),
    String(one.passes),
    isWithin(one) ? 'yes' : 'no',
  ];
}

function renderRatios(ratios: readonly Ratio[]): string {
  if (ratios.length === 0) return '';
  const cells = Map.groupBy(ratios, ({ cell }) => describeCell(cell));
  const lines = [...cells].map(([cell, ofCell]) => `- ${cell}: ${ofCell.map(describeRatio).join('; ')}`);
  return ['LMAS beside the others (goodput; processor time per GB), within the same pass:', '', ...lines].join('\n');
}

function describeRatio({ contender, goodput, cpu }: Ratio): string {
  const times = `${goodput.toFixed(goodput < 10 ? 2 : 0)} ×`;
  return `${contender} ${times}${cpu === null ? '' : `, CPU ${cpu.toFixed(2)} ×`}`;
}
