/** Horizontal bars from a common zero, each with its name and its value. Pure. */
import { colourOf, document, line, rectangle, scale, text, ticks } from './canvas.ts';

export interface Bar {
  readonly name: string;
  readonly value: number;
  /** From the smallest to the largest measured. */
  readonly range?: readonly [number, number] | null;
}

export interface BarPlot {
  readonly title: string;
  readonly xTitle: string;
  readonly valueText: (value: number) => string;
  readonly bars: readonly Bar[];
  /** Bars with this name are in the first colour, all others in the second. */
  readonly ours: string;
}

const WIDTH = 640;
const LEFT = 130;
const RIGHT = 70;
const TOP = 44;
const BAR = 20;
const STEP = 30;
const BOTTOM = 46;

export function barPlot({ title, xTitle, valueText, bars, ours }: BarPlot): string {
  const xTicks = ticks(Math.max(0, ...bars.map(({ value, range }) => Math.max(value, range?.[1] ?? 0))));
  const x = scale(0, xTicks.at(-1) ?? 1, LEFT, WIDTH - RIGHT);
  const bottom = TOP + bars.length * STEP;
  const grid = xTicks.flatMap((tick) => [
    line(x(tick), TOP, x(tick), bottom),
    text(x(tick), bottom + 16, valueText(tick), { anchor: 'middle', size: 11 }),
  ]);
  const body = bars.flatMap(({ name, value, range }, i) => {
    const top = TOP + i * STEP + (STEP - BAR) / 2;
    const middle = top + BAR / 2;
    const end = Math.max(x(value), x(range?.[1] ?? 0));
    return [
      text(LEFT - 8, middle + 4, name, { anchor: 'end', bold: name === ours }),
      rectangle(LEFT, top, x(value) - LEFT, BAR, name === ours ? colourOf(0) : colourOf(6)),
      ...(range ? [line(x(range[0]), middle, x(range[1]), middle, '#222222', 2)] : []),
      text(end + 6, middle + 4, valueText(value), { size: 11 }),
    ];
  });
  const axis = text((LEFT + WIDTH - RIGHT) / 2, bottom + 36, xTitle, { anchor: 'middle', size: 11 });
  return document(WIDTH, bottom + BOTTOM, title, [
    text(8, 22, title, { size: 15, bold: true }),
    ...grid,
    ...body,
    axis,
  ]);
}
