/**
 * A migration on one line of a terminal, drawn again and again; on anything else, one line for each phase.
 */
import type { WriteStream } from 'node:tty';
import type { Migration } from '@lmas/client';

const BAR_WIDTH = 28;

export class ProgressLine {
  readonly #out: Pick<WriteStream, 'write' | 'isTTY'> & { columns?: number };
  #lastPhase = '';
  #drawn = false;

  constructor(out: Pick<WriteStream, 'write' | 'isTTY'> & { columns?: number }) {
    this.#out = out;
  }

  show(migration: Migration): void {
    if (this.#out.isTTY) {
      const line = render(migration).slice(0, (this.#out.columns ?? 80) - 1);
      this.#out.write(`\r\x1b[2K${line}`);
      this.#drawn = true;
    } else if (migration.phase !== this.#lastPhase) {
      this.#out.write(`    ${migration.phase}\n`);
    }
    this.#lastPhase = migration.phase;
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
