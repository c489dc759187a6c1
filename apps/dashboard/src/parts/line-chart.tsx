/**
 * Rates over time as lines: two or three series, one axis each way. SVG that follows the page's colours; the newest value
 * of each series stands in the legend, for those who do not see the lines.
 */
import { formatClock } from '@lmas/format';
import { useEffect, useState } from 'preact/hooks';
import { niceCeiling, type Point, pathOf } from './line-geometry.ts';

export interface Series {
  readonly name: string;
  /** One of the classes `line-1`, `line-2` … of the style sheet. */
  readonly line: string;
  /** Oldest first. */
  readonly points: readonly Point[];
}

interface LineChartProps {
  readonly title: string;
  readonly series: readonly Series[];
  readonly format: (value: number) => string;
  /** The axis goes at least as far, however little there is to show. */
  readonly least: number;
  /** When it began, where that is before the first point that is known. */
  readonly fromMs?: number | undefined;
}

/** Until it is known how wide the page lets it be. */
const USUAL_WIDTH = 960;
const HEIGHT = 200;
const LEFT = 84;
const BOTTOM = 24;
const TOP = 8;

export function LineChart({ title, series, format, least, fromMs }: LineChartProps) {
  const [figure, setFigure] = useState<HTMLElement | null>(null);
  const width = useWidth(figure);
  const points = series.flatMap((one) => one.points);
  const known = points.flatMap(({ value }) => (value === null ? [] : [value]));
  if (known.length < 2) return <p class="muted">Nothing measured yet.</p>;
  const times = points.map(({ atMs }) => atMs);
  const [from, to] = [Math.min(fromMs ?? Number.POSITIVE_INFINITY, ...times), Math.max(...times)];
  const top = niceCeiling(Math.max(least, ...known));
  const x = (atMs: number) => LEFT + ((atMs - from) / Math.max(1, to - from)) * (width - LEFT - 8);
  const y = (value: number) => TOP + (1 - value / top) * (HEIGHT - TOP - BOTTOM);
  return (
    <figure class="chart" ref={setFigure}>
      <svg viewBox={`0 0 ${width} ${HEIGHT}`} role="img" aria-label={title}>
        {[0, 0.5, 1].map((part) => (
          <g key={part}>
            <line class="grid" x1={LEFT} x2={width - 8} y1={y(top * part)} y2={y(top * part)} />
            <text x={LEFT - 8} y={y(top * part) + 4} text-anchor="end">
              {format(top * part)}
            </text>
          </g>
        ))}
        <text x={LEFT} y={HEIGHT - 6}>
          0:00
        </text>
        <text x={width - 8} y={HEIGHT - 6} text-anchor="end">
          {formatClock(to - from)}
        </text>
        {series.map(({ name, line, points: own }) => (
          <path key={name} class={line} d={pathOf(own, x, y)} />
        ))}
      </svg>
      <figcaption>
        {series.map(({ name, line, points: own }) => {
          const newest = own.findLast(({ value }) => value !== null)?.value ?? null;
          return (
            <span key={name} class={`legend ${line}`}>
              {name}: {newest === null ? 'unknown' : format(newest)}
            </span>
          );
        })}
      </figcaption>
    </figure>
  );
}

/** What is inside of an element, so that letters and lines are as large on a phone as anywhere. */
function useWidth(element: HTMLElement | null): number {
  const [width, setWidth] = useState(USUAL_WIDTH);
  useEffect(() => {
    if (element === null) return;
    const observer = new ResizeObserver(([entry]) => {
      if (entry !== undefined) setWidth(Math.max(200, Math.round(entry.contentRect.width)));
    });
    observer.observe(element);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
