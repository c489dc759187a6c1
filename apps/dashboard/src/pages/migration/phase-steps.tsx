/** The phases as a line of steps: which are done and how long each took, which is under way, where it ended. */
import { hasEnded, type Migration, type Phase } from '@lmas/client';
import { formatBytes, formatClock, formatDuration } from '@lmas/format';
import { useNow } from '../../parts/use-now.ts';
import { type Step, stepsOf } from './steps.ts';

export function PhaseSteps({ migration }: { migration: Migration }) {
  const now = useNow(!hasEnded(migration));
  return (
    <ol class="steps" aria-label="Phases">
      {stepsOf(migration, now).map(({ phase, state, tookMs }) => (
        <li key={phase} class={`${state} ${phase}`} aria-current={state === 'now' ? 'step' : undefined}>
          <span class="name">{phase}</span>
          <span class="took">{timeOf(state, phase, tookMs)}</span>
          {phase === 'performing' ? <Amounts migration={migration} /> : null}
        </li>
      ))}
    </ol>
  );
}

function timeOf(state: Step['state'], phase: Phase, tookMs: number | null): string {
  if (state === 'skipped') return 'not reached';
  if (tookMs === null || hasEnded({ phase })) return '';
  return state === 'now' ? formatClock(tookMs) : formatDuration(tookMs);
}

/** What has crossed and how long the rest will take, while it crosses; what it was, afterwards. */
function Amounts({ migration: { phase, progress, report } }: { migration: Migration }) {
  const bytes = report?.bytesTransferred ?? progress?.bytesTransferred ?? null;
  if (bytes === null) return null;
  const etaMs = phase === 'performing' ? (progress?.etaMs ?? null) : null;
  return (
    <span class="took">
      {formatBytes(bytes)}
      {etaMs === null ? '' : `, ${formatClock(etaMs)} to go`}
    </span>
  );
}
