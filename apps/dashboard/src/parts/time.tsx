/** Points in time: short to read, exact to the second when pointed at. */
import { formatTime } from '@lmas/format';

export function Time({ at }: { at: string | null }) {
  return at === null ? (
    <span class="muted">–</span>
  ) : (
    <time dateTime={at} title={at}>
      {formatTime(at)}
    </time>
  );
}
