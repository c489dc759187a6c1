/**
 * When a migration entered its Perform stage, by the word of the source's libvirt, whoever drives it: its status file
 * names the phase of the job (libvirt, src/qemu/qemu_migration.c, qemuMigrationJobPhase). A file read, every few milliseconds.
 */
import { readFileSync } from 'node:fs';
import type { LabHost } from '../../lab/src/index.ts';

const PERIOD_MS = 10;
const PERFORMS = /<job [^>]*phase='perform/;

export class PerformClock implements Disposable {
  readonly #timer: NodeJS.Timeout;
  #startedAtMs: number | undefined;

  constructor(source: LabHost, vm: string) {
    const file = source.path(`/run/libvirt/qemu/${vm}.xml`);
    this.#timer = setInterval(() => {
      if (this.#startedAtMs === undefined && PERFORMS.test(statusIn(file))) this.#startedAtMs = wallClockMs();
    }, PERIOD_MS);
  }

  /** Milliseconds since 1970. @throws when no Perform was seen */
  get startedAtMs(): number {
    if (this.#startedAtMs === undefined) throw new Error('The source’s libvirt never said that it performs.');
    return this.#startedAtMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const wallClockMs = (): number => performance.timeOrigin + performance.now();

function statusIn(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return ''; // libvirt writes a new file and moves it into place, and removes it at the end
  }
}
