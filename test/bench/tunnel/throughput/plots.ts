/** The plots of the throughput for the docs: what they show, from the rows. Pure. */
import { barPlot } from '../../report/svg/bar-plot.ts';
import { linePlot } from '../../report/svg/line-plot.ts';
import type { Row } from './measurement.ts';

const RATE_MBIT = 1_000;
/** In this order, and no others: a plot of everything shows nothing. */
const SHOWN = ['lmas', 'direct-cubic', 'direct-bbr', 'ssh', 'stunnel', 'haproxy'];

/** File name → SVG; only what the rows can show. */
export function throughputPlots(rows: readonly Row[]): Map<string, string> {
  const plots = new Map<string, string>();
  const shaped = rows.filter(({ rateMbit, contender }) => rateMbit === RATE_MBIT && SHOWN.includes(contender));
  const losses = [...new Set(shaped.map(({ lossPct }) => lossPct))].sort((one, other) => one - other);
  if (new Set(shaped.map(({ rttMs }) => rttMs)).size > 1) {
    const panels = losses.map((lossPct) => ({ title: `${lossPct} % loss`, series: seriesOf(shaped, lossPct) }));
    const yText = (share: number): string => `${Math.round(share * 100)} %`;
    const yTitle = 'share of what TCP can carry on the link';
    const title = `One stream over ${RATE_MBIT / 1_000} Gbit/s`;
    plots.set('goodput.svg', linePlot({ title, xTitle: 'round trip, ms', yTitle, yText, panels }));
  }
  const costs = rows.filter(({ rateMbit }) => rateMbit === 0).filter((row) => row.cpuSecPerGB !== null);
  if (costs.length > 1) {
    const bars = costs.map((row) => ({ name: row.contender, value: row.cpuSecPerGB ?? 0, range: row.cpuSpread }));
    const title = 'Processor time, both ends together, on a link without limits';
    const valueText = (value: number): string => value.toFixed(1);
    plots.set('cpu.svg', barPlot({ title, xTitle: 'seconds per GB', valueText, bars, ours: 'lmas' }));
  }
  return plots;
}

function seriesOf(rows: readonly Row[], lossPct: number) {
  return SHOWN.map((name) => ({
    name,
    points: rows
      .filter((row) => row.contender === name && row.lossPct === lossPct)
      .map((row) => [row.rttMs, row.linkShare ?? 0] as const),
  })).filter(({ points }) => points.length > 0);
}
