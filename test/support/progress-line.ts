/**
 * A migration on one line of a terminal, drawn again and again; on anything else, a line for each phase and one every few
 * seconds while memory moves: how long it has taken, what has crossed, and how much of the link that uses.
 */
import type { WriteStream } from 'node:tty';
import type { Migration } from '@lmas/client';

const BAR_WIDTH = 28;
/** Between two plain lines of one phase: often enough to see that it moves, seldom enough for a log. */
const PLAIN_MS = 2_000;

export interface ProgressLineOptions {
  /** Of the link, for the share that is used. */
  readonly linkBitsPerSec: number;
  /** Monotonic. */
  readonly nowMs?: () => number;
}

export class ProgressLine {
  readonly #out: Pick<WriteStream, 'write' | 'isTTY'> & { columns?: number };
  readonly #linkBitsPerSec: number;
  readonly #nowMs: () => number;
  readonly #beganMs: number;
  #lastPhase = '';
  #nextPlainMs = 0;
  #drawn = false;

  constructor(
    out: Pick<WriteStream, 'write' | 'isTTY'> & { columns?: number },
    { linkBitsPerSec, nowMs = () => performance.now() }: ProgressLineOptions,
  ) {
    this.#out = out;
    this.#linkBitsPerSec = linkBitsPerSec;
    this.#nowMs = nowMs;
    this.#beganMs = nowMs();
  }

  show(migration: Migration): void {
    if (this.#out.isTTY) {
      const line = render(migration).slice(0, (this.#out.columns ?? 80) - 1);
      this.#out.write(`\r\x1b[2K${line}`);
      this.#drawn = true;
    } else this.#showPlainly(migration);
    this.#lastPhase = migration.phase;
  }

  #showPlainly(migration: Migration): void {
    const now = this.#nowMs();
    const moves = migration.phase === 'performing' && migration.progress !== null;
    if (migration.phase === this.#lastPhase && (!moves || now < this.#nextPlainMs)) return;
    this.#nextPlainMs = moves ? now + PLAIN_MS : 0;
    this.#out.write(`    ${renderPlainly(migration, now - this.#beganMs, this.#linkBitsPerSec)}\n`);
  }

  /** Clears the line. Idempotent. */
  end(): void {
    if (this.#drawn) this.#out.write('\r\x1b[2K');
    this.#drawn = false;
  }
}

/** Exported for its test. */
export function render({ phase, progress }: Migration): string {
  if (!progress) return `    ${phase} …`;
  const filled = Math.round((progress.percent / 100) * BAR_WIDTH);
  const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`;
  const rate = progress.rateBytesPerSec === null ? '' : `  ${((progress.rateBytesPerSec * 8) / 1e6).toFixed(0)} Mbit/s`;
  const left = `  ${(progress.bytesRemaining / 1e6).toFixed(0)} MB left`;
  const pass = progress.iteration === null ? '' : `  pass ${progress.iteration}`;
  return `    ${phase.padEnd(10)} ${bar} ${progress.percent.toFixed(0).padStart(3)} %${rate}${left}${pass}`;
}

/** `  3.1 s  performing      214 MB,  860 MB left   857 Mbit/s = 86 % of the link  pass 1` */
function renderPlainly({ phase, progress }: Migration, elapsedMs: number, linkBitsPerSec: number): string {
  const head = `${(elapsedMs / 1_000).toFixed(1).padStart(5)} s  ${phase.padEnd(12)}`;
  if (progress === null) return head.trimEnd();
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0).padStart(5)} MB`;
  const sent = `${head}  ${megabytes(progress.bytesTransferred)}`;
  // What is left, and how fast, was true while it moved.
  if (phase !== 'performing') return sent;
  const bits = progress.rateBytesPerSec === null ? null : progress.rateBytesPerSec * 8;
  // For a moment a hypervisor may send faster than the link: into the gateway beside it.
  const share =
    bits === null || bits > linkBitsPerSec ? '' : ` = ${((bits / linkBitsPerSec) * 100).toFixed(0)} % of the link`;
  return [
    `${sent},${megabytes(progress.bytesRemaining)} left`,
    bits === null ? '' : `  ${(bits / 1e6).toFixed(0)} Mbit/s${share}`,
    progress.iteration === null ? '' : `  pass ${progress.iteration}`,
  ].join('');
}
