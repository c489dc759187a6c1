/**
 * Hands to the hypervisor what is asked for while the migration runs. It owns its loop. A change that the hypervisor
 * does not take is told in the record and decides nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { formatByteRate } from '@lmas/format';
import type { ConvergencePolicy, MigrationDriver } from '@lmas/plugin-api';
import { type Changes, policyOf } from '../migrations/changes.ts';
import type { Run } from './run.ts';

const LOOK_MS = 1_000;

export class Steering implements Disposable {
  readonly #run: Run;
  readonly #changes: Pick<Changes, 'get'>;
  readonly #driver: MigrationDriver;
  readonly #closing = new AbortController();
  #applied: ConvergencePolicy;
  /** What was asked for of the bandwidth when it was last looked at. It is set by others (share.ts), and told here; `null`: not looked yet. */
  #limit: { readonly bytesPerSec: number | null | undefined } | null = null;

  /** `prepared`: the policy with which the migration was prepared. */
  constructor(run: Run, changes: Pick<Changes, 'get'>, driver: MigrationDriver, prepared: ConvergencePolicy) {
    this.#run = run;
    this.#changes = changes;
    this.#driver = driver;
    this.#applied = prepared;
    void this.#follow();
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted && !this.#run.lost.aborted) {
      await this.#look().catch((error: unknown) => {
        if (!this.#closing.signal.aborted && !this.#run.lost.aborted) {
          this.#run.log.warn({ err: error }, 'a change could not be applied; it is tried again');
        }
      });
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined); // closing ends the loop
    }
  }

  async #look(): Promise<void> {
    const changes = await this.#changes.get(this.#run.id);
    const wanted = policyOf(this.#run.migration.request, changes);
    if (this.#closing.signal.aborted) return;
    const parts: string[] = [];
    if (!isDeepStrictEqual(wanted, this.#applied)) parts.push(await this.#apply(wanted));
    const { bandwidthBytesPerSec: bytesPerSec } = changes;
    if (this.#limit !== null && this.#limit.bytesPerSec !== bytesPerSec && bytesPerSec !== undefined) {
      parts.push(bandwidthInWords(bytesPerSec));
    }
    this.#limit = { bytesPerSec };
    if (parts.length === 0) return;
    await this.#run.update(() => undefined, { type: 'log', message: parts.join('. ') });
  }

  /** @returns what has become of it, in words */
  async #apply(wanted: ConvergencePolicy): Promise<string> {
    const signal = AbortSignal.any([this.#closing.signal, this.#run.lost]);
    const kept =
      this.#driver.setConvergence === undefined
        ? ['This hypervisor takes no changes while it runs.']
        : await this.#driver.setConvergence(wanted, { signal });
    this.#applied = wanted;
    const downtime = wanted.maxDowntimeMs === null ? '' : `, pause of at most ${wanted.maxDowntimeMs} ms`;
    return [`changed to ${wanted.convergence}${downtime}`, ...kept].join('. ');
  }
}

const bandwidthInWords = (bytesPerSec: number | null): string =>
  bytesPerSec === null
    ? 'the bandwidth is limited for it no more'
    : `at most ${formatByteRate(bytesPerSec)} of bandwidth from now on`;
