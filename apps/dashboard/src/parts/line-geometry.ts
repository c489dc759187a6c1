/** Where the lines of a plot run, and how high its axis is. Pure. */

export interface Point {
  readonly atMs: number;
  /** null where nothing is known. */
  readonly value: number | null;
}

/** Gaps stay gaps: no line is drawn over what is not known. */
export function pathOf(points: readonly Point[], x: (atMs: number) => number, y: (value: number) => number): string {
  let pen = 'M';
  let path = '';
  for (const { atMs, value } of points) {
    if (value === null) {
      pen = 'M';
      continue;
    }
    path += `${pen}${x(atMs).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = 'L';
  }
  return path;
}

/** The next of 1, 2, 5, 10, 20 …, so that the axis has round numbers. */
export function niceCeiling(value: number): number {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return (([1, 2, 5].find((step) => step * power >= value) ?? 10) as number) * power;
}
