/** How far the hypervisor is, and whether it will get to an end. */
import type { Migration, Progress } from '@lmas/client';
import { formatByteRate, formatBytes } from '@lmas/format';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { Fields } from '../../parts/fields.tsx';
import { ProgressBar } from '../../parts/progress-bar.tsx';

const VERDICT_TONES: Readonly<Record<NonNullable<Progress['outlook']>['verdict'], Tone>> = {
  converges: 'good',
  narrow: 'warning',
  diverges: 'bad',
  unknown: 'plain',
};

const STAGES: Readonly<Record<Progress['stage'], string>> = {
  disks: 'Moving its disks',
  memory: 'Moving its memory',
  switchover: 'Switching over',
  'post-copy': 'It runs at the destination, and pulls the rest of its memory over',
};

export function ProgressPanel({ migration }: { migration: Migration }) {
  const { progress, phase, bandwidthShareBytesPerSec: share } = migration;
  if (progress === null || (phase !== 'performing' && phase !== 'confirming')) return null;
  const { outlook } = progress;
  return (
    <section class="card" aria-labelledby="progress">
      <h2 id="progress">{STAGES[progress.stage]}</h2>
      <ProgressBar migration={migration} />
      <Fields
        of={[
          ['Moved', `${formatBytes(progress.bytesTransferred)}, ${formatBytes(progress.bytesRemaining)} to go`],
          ['Dirty rate', progress.dirtyRateBytesPerSec === null ? null : formatByteRate(progress.dirtyRateBytesPerSec)],
          ['Pass', progress.iteration === null ? null : String(progress.iteration)],
          ['Bandwidth share', share === null ? null : formatByteRate(share)],
        ]}
      />
      {outlook === null ? null : (
        <div class="outlook">
          <Badge tone={VERDICT_TONES[outlook.verdict]}>{outlook.verdict}</Badge>
          <div>
            <p>{outlook.message}</p>
            {outlook.advice === null ? null : <p class="muted">{outlook.advice}</p>}
          </div>
        </div>
      )}
    </section>
  );
}
