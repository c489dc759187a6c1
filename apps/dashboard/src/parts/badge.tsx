/** Short words in a colour; the word alone says it all, the colour only finds it faster. */
import type { Finding, Migration, Phase } from '@lmas/client';

export type Tone = 'good' | 'bad' | 'warning' | 'busy' | 'plain';

export function Badge({ tone, children }: { tone: Tone; children: string }) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

const PHASE_TONES: Readonly<Partial<Record<Phase, Tone>>> = {
  queued: 'plain',
  succeeded: 'good',
  failed: 'bad',
  cancelled: 'warning',
};

export function PhaseBadge({ migration }: { migration: Pick<Migration, 'phase' | 'cancelRequestedAt'> }) {
  const { phase, cancelRequestedAt } = migration;
  const tone = PHASE_TONES[phase] ?? 'busy';
  const cancelling = cancelRequestedAt !== null && (tone === 'busy' || tone === 'plain');
  return <Badge tone={cancelling ? 'warning' : tone}>{cancelling ? `${phase}, cancelling` : phase}</Badge>;
}

const SEVERITY_TONES: Readonly<Record<Finding['severity'], Tone>> = {
  blocker: 'bad',
  warning: 'warning',
  note: 'plain',
};

export function SeverityBadge({ severity }: Pick<Finding, 'severity'>) {
  return <Badge tone={SEVERITY_TONES[severity]}>{severity}</Badge>;
}
