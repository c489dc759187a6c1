/** What a check predicts, in words: always as a range, and saying so when nobody knows. */
import type { MigrationCheck } from '@lmas/client';
import { formatByteRate, formatDuration } from '@lmas/format';

type Prediction = MigrationCheck['prediction'];
type Span = NonNullable<Prediction['durationMs']>;

const CONVERGENCE: Readonly<Record<Prediction['convergence'], string>> = {
  yes: 'It should get across by itself',
  'only-slowed-down': 'It should get across only with the guest slowed down',
  no: 'It should not get across: the dirty rate exceeds what the link carries. See --convergence and post-copy',
  unknown: 'Whether it gets across is not known',
};

/** Sites are measured through the tunnel. */
const NOT_MEASURED = {
  tunnel: 'nobody has measured the link yet (lmas link test)',
  direct: 'it goes without a tunnel, and how fast that is nobody has measured',
};

export function predictionLines(prediction: Prediction, transport: 'tunnel' | 'direct' = 'tunnel'): string[] {
  const { convergence, rateBytesPerSec, dirtyRateBytesPerSec, durationMs, downtimeMs } = prediction;
  const rate =
    rateBytesPerSec === null ? NOT_MEASURED[transport] : `the link carries ${formatByteRate(rateBytesPerSec)}`;
  const guest =
    dirtyRateBytesPerSec === null
      ? 'its hypervisor does not tell the dirty rate'
      : `its dirty rate is ${formatByteRate(dirtyRateBytesPerSec)}`;
  const lines = [`${CONVERGENCE[convergence]}: ${rate}; ${guest}.`];
  if (durationMs !== null) lines.push(`Predicted: ${inWords(durationMs)}${pause(downtimeMs)}.`);
  return lines;
}

const inWords = ({ low, high }: Span): string =>
  high === null ? `${formatDuration(low)} or longer` : `${formatDuration(low)} to ${formatDuration(high)}`;

const pause = (downtimeMs: Span | null): string =>
  downtimeMs === null ? '' : `, with a pause of ${inWords(downtimeMs)}`;
