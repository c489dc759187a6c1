/** Lines over a common axis, in panels side by side with the same scales. Pure. */
import { colourOf, document, escapeText, line, px, scale, text, ticks } from './canvas.ts';

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly title: string;
  readonly series: readonly Series[];
}

export interface LinePlot {
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly yText?: (value: number) => string;
  readonly panels: readonly Panel[];
}

const PANEL_WIDTH = 250;
const PANEL_HEIGHT = 220;
const LEFT = 56;
const TOP = 64;
const GAP = 28;
const BOTTOM = 52;
const LEGEND_LINE = 18;
const LEGEND_COLUMN = 150;

export function linePlot(plot: LinePlot): string {
  const { panels, title, xTitle, yTitle, yText = String } = plot;
  const names = [...new Set(panels.flatMap(({ series }) => series.map(({ name }) => name)))];
  const points = panels.flatMap(({ series }) => series.flatMap((one) => one.points));
  const yTicks = ticks(Math.max(0, ...points.map(([, y]) => y)));
  const xs = [...new Set(points.map(([x]) => x))].sort((one, other) => one - other);
  const width = LEFT + panels.length * (PANEL_WIDTH + GAP);
  const columns = Math.max(1, Math.floor((width - LEFT) / LEGEND_COLUMN));
  const height = TOP + PANEL_HEIGHT + BOTTOM + Math.ceil(names.length / columns) * LEGEND_LINE;
  const y = scale(0, yTicks.at(-1) ?? 1, TOP + PANEL_HEIGHT, TOP);
  const body = panels.map((panel, i) => {
    const left = LEFT + i * (PANEL_WIDTH + GAP);
    const x = scale(xs[0] ?? 0, xs.at(-1) ?? 1, left + 8, left + PANEL_WIDTH - 8);
    return [
      text(left + PANEL_WIDTH / 2, TOP - 10, panel.title, { anchor: 'middle', bold: true }),
      ...yTicks.map((tick) => line(left, y(tick), left + PANEL_WIDTH, y(tick))),
      ...(i === 0 ? yTicks.map((tick) => text(left - 6, y(tick) + 4, yText(tick), { anchor: 'end', size: 11 })) : []),
      ...xs.map((tick) => text(x(tick), TOP + PANEL_HEIGHT + 16, String(tick), { anchor: 'middle', size: 11 })),
      ...panel.series.map((series) => drawSeries(series, colourOf(names.indexOf(series.name)), x, y)),
      text(left + PANEL_WIDTH / 2, TOP + PANEL_HEIGHT + 34, xTitle, { anchor: 'middle', size: 11 }),
    ].join('\n');
  });
  const legend = names.map((name, i) => {
    const left = LEFT + (i % columns) * LEGEND_COLUMN;
    const top = TOP + PANEL_HEIGHT + BOTTOM + Math.floor(i / columns) * LEGEND_LINE;
    return `${line(left, top - 4, left + 18, top - 4, colourOf(i), 3)}\n${text(left + 24, top, name)}`;
  });
  const heading = [text(8, 22, title, { size: 15, bold: true }), text(8, 42, yTitle, { size: 11 })];
  return document(width, height, title, [...heading, ...body, ...legend]);
}

type Scale = (value: number) => number;

function drawSeries({ name, points }: Series, colour: string, x: Scale, y: Scale): string {
  const sorted = points.toSorted(([one], [other]) => one - other);
  const path = sorted.map(([px_, py], i) => `${i === 0 ? 'M' : 'L'}${px(x(px_))} ${px(y(py))}`).join(' ');
  const marks = sorted.map(([px_, py]) => `<circle cx="${px(x(px_))}" cy="${px(y(py))}" r="3" fill="${colour}"/>`);
  return [
    `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2" data-series="${escapeText(name)}"/>`,
    ...marks,
  ].join('\n');
}
