/**
 * The last step, from a guest that stands still with everything sent to one that runs at the destination, its source cleared: let go by this
 * very run, or only seen to have arrived.
 *
 * Invariants: the source is cleared only after the destination has said that it started the guest, or was seen running it, and never while it
 * holds memory that post-copy has not pulled over; a cancelling Confirm, which resumes the source, follows only the destination's own word that
 * it runs nothing.
 */
import { type MigrationContext, type MigrationRequest, PluginError, type VmPlacement } from '@lmas/plugin-api';
import type { KvmOptions } from '../config.ts';
import { type Arrival, clearSource } from './arrival.ts';
import type { DirectRun } from './direct.ts';
import { brokenPostCopy } from './post-copy.ts';
import { pause } from './progress.ts';
import { type Ends, lookAtBoth, placementOf } from './settle.ts';
import { endedByFailure, look, type Sighting } from './sighting.ts';
import { undefine } from './undefine.ts';

interface Options {
  readonly signal: AbortSignal;
}

/** After a Finish without an answer: longer than libvirt needs to give up on our connection and clean up. */
const FINISH_SETTLE_MS = 40_000;
const FINISH_LOOK_MS = 200;
const POST_COPY_LOOK_MS = 500;

export class HandOver {
  /** The destination said that it let the guest go, or was seen running it: nothing is undone any more. */
  arrived = false;
  readonly #ends: Ends;
  readonly #request: MigrationRequest<KvmOptions>;
  readonly #context: MigrationContext;
  readonly #settleMs: number;

  constructor(
    ends: Ends,
    request: MigrationRequest<KvmOptions>,
    context: MigrationContext,
    { finishSettleMs = FINISH_SETTLE_MS }: { readonly finishSettleMs?: number },
  ) {
    this.#ends = ends;
    this.#request = request;
    this.#context = context;
    this.#settleMs = finishSettleMs;
  }

  /** Finish, and Confirm according to what the destination says. */
  async letGo(run: DirectRun, { signal }: Options): Promise<Arrival> {
    const outcome = await run.finish({ signal });
    if (outcome.kind === 'started') return this.#clear(run, { startedBy: 'answer' }, signal);
    // The daemon refused, or nobody knows: the destination itself has to say what became of the guest.
    run.releaseDestination();
    const there = await this.#destinationAfterFinish(signal);
    if (there.presence === 'running') return this.#clear(run, { startedBy: 'sight' }, signal);
    const neverRan = outcome.kind === 'refused' && (await this.#takeBack(there, signal));
    if (there.presence === 'absent' || neverRan) {
      await run.confirm(true, { signal }).catch(() => {
        // Its connection is gone: the source stands still, and `abort` resumes it by the same rule.
      });
      throw outcome.error;
    }
    throw unknownOutcome(`the destination says "${there.presence}" after a Finish that failed`, outcome.error);
  }

  /** Without the memory of perform: only what is seen counts. */
  async seeArrival({ signal }: Options): Promise<Arrival> {
    const seen = await this.#afterPostCopy(signal);
    if (seen.where !== 'destination') {
      throw unknownOutcome(`the source says "${seen.source}", the destination "${seen.destination}"`);
    }
    this.arrived = true;
    const notRemoved = await clearSource(this.#ends, this.#request, this.#context, { signal });
    return { startedBy: 'sight', notRemoved };
  }

  /**
   * A Finish that fails after it has defined the VM (`cont` cannot lock a disk, say) ends QEMU before the daemon answers, and leaves
   * the definition (qemuMigrationDstFinishActive). The daemon's own answer and that reason together are certain; a later run has
   * the reason alone, which a failed start by hand leaves too. The definition goes first: then nobody can start it, and should
   * this run die here, the next one resumes the source because the destination does not know the VM.
   * @returns whether it was so, and nothing runs there
   */
  async #takeBack(there: Sighting, signal: AbortSignal): Promise<boolean> {
    if (!endedByFailure(there) || there.domain === undefined) return false;
    await this.#context.assertCurrent();
    await undefine(this.#ends.destination, there.domain, { signal }).catch((error: unknown) => {
      this.#context.log.warn({ err: error }, 'the definition of the VM that did not start could not be removed');
    });
    const after = await look(this.#ends.destination, this.#request.vm.id, 'destination', { signal });
    return after.presence === 'absent' || endedByFailure(after);
  }

  async #destinationAfterFinish(signal: AbortSignal): Promise<Sighting> {
    const started = performance.now();
    const limit = this.#settleMs;
    for (;;) {
      const there = await look(this.#ends.destination, this.#request.vm.id, 'destination', { signal });
      const silent = there.presence === 'unreachable' && !this.#ends.destination.closed.aborted;
      const final = there.presence !== 'incoming' && !silent;
      if (final || performance.now() - started > limit || signal.aborted) return there;
      await pause(FINISH_LOOK_MS, signal);
    }
  }

  async #clear(run: DirectRun, arrival: Arrival, signal: AbortSignal): Promise<Arrival> {
    this.arrived = true;
    try {
      await run.confirm(false, { signal });
    } catch (error) {
      this.#context.log.warn({ err: error }, 'Confirm failed; the source is cleared by what is seen there');
    }
    const notRemoved = await clearSource(this.#ends, this.#request, this.#context, { signal });
    return { ...arrival, notRemoved };
  }

  /** Waits while memory is still pulled over from the source. */
  async #afterPostCopy(signal: AbortSignal): Promise<VmPlacement> {
    for (;;) {
      const seen = placementOf(await lookAtBoth(this.#ends, this.#request.vm.id, { signal }));
      if (seen.postCopy === undefined) return seen;
      if (seen.postCopy === 'broken') throw brokenPostCopy();
      if (signal.aborted) throw unknownOutcome('post-copy is still under way');
      await pause(POST_COPY_LOOK_MS, signal);
    }
  }
}

function unknownOutcome(why: string, cause?: unknown): PluginError {
  return new PluginError('OUTCOME_UNKNOWN', `It is not known where the VM runs: ${why}.`, {
    cause,
    remedy:
      'Nothing was destroyed or resumed. Look at both hosts (virsh domstate --reason). If the destination runs the VM, destroy the paused one at the source; if the destination does not know it, resume the one at the source (virsh resume). Never resume both.',
  });
}
