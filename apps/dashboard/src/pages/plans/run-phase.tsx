/** The phase of a run, in its colour. */
import type { PlanRun } from '@lmas/client';
import { Badge, type Tone } from '../../parts/badge.tsx';

const TONES: Readonly<Record<PlanRun['phase'], Tone>> = {
  resolving: 'busy',
  validating: 'busy',
  running: 'busy',
  keeping: 'good',
  undoing: 'busy',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warning',
};

export function RunPhase({ run: { phase } }: { run: Pick<PlanRun, 'phase'> }) {
  return <Badge tone={TONES[phase]}>{phase}</Badge>;
}
