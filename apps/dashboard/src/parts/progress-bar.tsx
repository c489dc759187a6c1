/** How far a migration is, as a bar that is read out as well. */
import type { Migration } from '@lmas/client';
import { formatByteRate, formatClock } from '@lmas/format';

export function ProgressBar({ migration }: { migration: Migration }) {
  const { progress, vm } = migration;
  if (progress === null) return null;
  const percent = Math.floor(progress.percent);
  const words = [
    `${percent} %`,
    progress.rateBytesPerSec === null ? '' : formatByteRate(progress.rateBytesPerSec),
    progress.etaMs === null ? '' : `${formatClock(progress.etaMs)} to go`,
  ].filter((word) => word !== '');
  return (
    <div class="progress">
      <progress max={100} value={percent} aria-label={`Progress of ${vm.name}`} />
      <span class="numbers">{words.join(' · ')}</span>
    </div>
  );
}
