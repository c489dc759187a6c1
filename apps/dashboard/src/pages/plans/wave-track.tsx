/**
 * The waves of a plan as a line of boxes, one after the other, with what has to happen between two of them. In a run each box
 * is filled as its VMs are: moved, moving, failed.
 */
import { type DrawnWave, gateWords } from './drawn-waves.ts';

export function WaveTrack({ waves }: { waves: readonly DrawnWave[] }) {
  return (
    <ol class="wave-track" aria-label="Waves">
      {waves.map((wave, i) => (
        <li key={`${i} ${wave.name}`} aria-current={wave.isNow ? 'step' : undefined}>
          <div class="wave-box">
            <strong>
              {i + 1}. {wave.name === '' ? 'unnamed' : wave.name}
            </strong>
            <VmBar vms={wave.vms} />
            <span class="numbers">{wave.words}</span>
          </div>
          <Gate afterwards={wave.afterwards} isLast={i === waves.length - 1} />
        </li>
      ))}
    </ol>
  );
}

/** A piece for each VM; the words beside it say the same. */
function VmBar({ vms }: Pick<DrawnWave, 'vms'>) {
  return (
    <svg class="vm-bar" viewBox={`0 0 ${Math.max(1, vms.length)} 1`} preserveAspectRatio="none" aria-hidden="true">
      {vms.map(({ tone }, i) => (
        <rect key={`${i} ${tone}`} class={`vm ${tone}`} x={i} width="1" height="1" />
      ))}
    </svg>
  );
}

function Gate({ afterwards, isLast }: Pick<DrawnWave, 'afterwards'> & { isLast: boolean }) {
  const words = gateWords(afterwards);
  if (words.length === 0 && isLast) return null;
  return (
    <div class={isLast ? 'gate last' : 'gate'}>
      {words.map((word) => (
        <span key={word}>{word}</span>
      ))}
    </div>
  );
}
