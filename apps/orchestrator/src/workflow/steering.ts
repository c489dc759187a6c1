/**
 * Hands to the hypervisor what is asked for while the migration runs. It owns its loop. A change that the hypervisor
 * does not take is told in the record and decides nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
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
    const wanted = policyOf(this.#run.migration.request, await this.#changes.get(this.#run.id));
    if (this.#closing.signal.aborted || isDeepStrictEqual(wanted, this.#applied)) return;
    const signal = AbortSignal.any([this.#closing.signal, this.#run.lost]);
    const kept =
      this.#driver.setConvergence === undefined
        ? ['This hypervisor takes no changes while it runs.']
        : await this.#driver.setConvergence(wanted, { signal });
    this.#applied = wanted;
    const downtime = wanted.maxDowntimeMs === null ? '' : `, pause of at most ${wanted.maxDowntimeMs} ms`;
    const message = [`changed to ${wanted.convergence}${downtime}`, ...kept].join('. ');
    await this.#run.update(() => undefined, { type: 'log', message });
  }
}
