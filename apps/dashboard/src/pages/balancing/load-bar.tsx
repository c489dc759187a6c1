/**
 * What a host uses of something, as a bar: filled as it is now, outlined as it will be after the moves, with the two
 * thresholds as lines. The numbers beside it say the same.
 */
import { percent } from './policy-words.tsx';

interface LoadBarProps {
  readonly name: string;
  /** 0 to 1; null: not known. */
  readonly now: number | null;
  /** undefined: no move concerns it. */
  readonly after: number | null | undefined;
  readonly low: number;
  readonly high: number;
}

const HEIGHT = 14;

export function LoadBar({ name, now, after, low, high }: LoadBarProps) {
  const tone = now === null || now <= low ? 'rests' : now > high ? 'busy' : 'between';
  const words = `${name} ${percent(now)}${after == null ? '' : `, ${percent(after)} after the moves`}; too busy above ${percent(high)}, until ${percent(low)}`;
  return (
    <div class="load">
      <svg viewBox={`0 0 100 ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={words}>
        <title>{words}</title>
        <rect class="track" width="100" height={HEIGHT} />
        {now === null ? null : <rect class={tone} width={within(now)} height={HEIGHT} />}
        {[low, high].map((threshold) => (
          <line key={threshold} class="mark" x1={within(threshold)} x2={within(threshold)} y1="0" y2={HEIGHT} />
        ))}
        {after == null ? null : <rect class="after" x="0" y="1" width={within(after)} height={HEIGHT - 2} />}
      </svg>
      <span class="numbers">
        {percent(now)}
        {after == null ? '' : ` → ${percent(after)}`}
      </span>
    </div>
  );
}

/** Guests may use more of a host than there is of it, for a moment. */
const within = (share: number): number => Math.min(1, Math.max(0, share)) * 100;
