/** What the checks say of the request as it stands, and what is predicted. */
import type { MigrationCheck } from '@lmas/client';
import { formatByteRate, formatBytes, formatDuration } from '@lmas/format';
import type { Trial } from '../../live/use-trial.ts';
import { Badge, type Tone } from '../../parts/badge.tsx';
import { Fields } from '../../parts/fields.tsx';
import { Findings } from '../../parts/findings.tsx';
import { Problem } from '../../parts/problem.tsx';
import { inWords } from './draft.ts';

type Prediction = MigrationCheck['prediction'];
type Span = Prediction['durationMs'];

const CONVERGENCE: Readonly<Record<Prediction['convergence'], readonly [Tone, string]>> = {
  yes: ['good', 'It gets across by itself.'],
  'only-slowed-down': ['warning', 'It gets across only if the guest is slowed down.'],
  no: ['bad', 'It does not get across: the dirty rate exceeds what the link carries.'],
  unknown: ['plain', 'Whether it gets across is not known: too little is known of the guest or the link.'],
};

interface CheckPanelProps {
  readonly check: Trial<MigrationCheck>;
  readonly complete: boolean;
  readonly isDrill: boolean;
  /** Without a tunnel: what was measured of the link says nothing about it. */
  readonly isDirect: boolean;
}

export function CheckPanel({ check, complete, ...how }: CheckPanelProps) {
  return (
    <section class="card" aria-labelledby="check" aria-live="polite" aria-busy={check.busy}>
      <h2 id="check">Checks</h2>
      {complete ? null : (
        <p class="muted">Choose a VM and where it shall go: both ends are looked at then. Nothing is touched.</p>
      )}
      {check.busy ? <p class="muted">Both ends are being looked at …</p> : null}
      <Problem error={check.error} inWords={inWords} asksAgain />
      {check.result === undefined ? null : <Result result={check.result} {...how} />}
    </section>
  );
}

type ResultProps = Omit<CheckPanelProps, 'check' | 'complete'> & { readonly result: MigrationCheck };

function Result({ result, isDrill, isDirect }: ResultProps) {
  const { ok, findings, prediction, memoryBytes, diskBytes } = result;
  const [tone, words] = CONVERGENCE[prediction.convergence];
  const what = isDrill ? 'rehearsed' : 'moved';
  return (
    <>
      <p>
        <Badge tone={ok ? 'good' : 'bad'}>{ok ? `it can be ${what}` : `it cannot be ${what}`}</Badge>
      </p>
      {findings.length === 0 ? null : <Findings findings={findings} />}
      <Fields
        of={[
          ['Memory', formatBytes(memoryBytes)],
          ['Disks to copy', diskBytes === 0 ? 'none' : formatBytes(diskBytes)],
          ['Time', spanWords(prediction.durationMs)],
          // Of a drill nothing is switched over, and what the guest writes meanwhile is not sent.
          ['Downtime', isDrill ? null : spanWords(prediction.downtimeMs)],
          [
            'Link',
            prediction.rateBytesPerSec !== null
              ? formatByteRate(prediction.rateBytesPerSec)
              : isDirect
                ? 'never measured without a tunnel'
                : 'not measured yet',
          ],
          [
            'Dirty rate',
            isDrill
              ? null
              : prediction.dirtyRateBytesPerSec === null
                ? 'not known'
                : formatByteRate(prediction.dirtyRateBytesPerSec),
          ],
        ]}
      />
      {isDrill ? null : (
        <p>
          <Badge tone={tone}>{prediction.convergence}</Badge> {words}
        </p>
      )}
    </>
  );
}

function spanWords(span: Span): string {
  if (span === null) return 'not known';
  if (span.high === null) return `at least ${formatDuration(span.low)}`;
  const [low, high] = [formatDuration(span.low), formatDuration(span.high)];
  return low === high ? low : `${low} to ${high}`;
}
