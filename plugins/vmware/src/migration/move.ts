/**
 * The one call that moves the VM, made once, and what becomes of it. When its answer is lost, the task that it may have begun is
 * looked for instead of calling again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Logger, PluginError } from '@lmas/plugin-api';
import { isFault, toPluginError, VimSilence } from '../errors.ts';
import { readObject } from '../properties.ts';
import { refSchema, type TaskInfo, vmSchema } from '../records.ts';
import { type Ref, refKey, sameRef } from '../wire/data-objects.ts';
import type { Ends, Plan } from './plan.ts';
import { relocateSpec } from './relocate-spec.ts';
import { cancelTask, followTask, isOurs, mayCancelAgain, movesOf } from './task.ts';
import { movedSince } from './to-be-had.ts';

/** After a cancel: the task ends when vSphere gets to it. */
const CANCEL_LIMIT_MS = 120_000;
const CANCEL_AGAIN_MS = 1_000;
const LOOK_MS = 250;
const recentSchema = vmSchema.pick({ recentTask: true });
const placeSchema = vmSchema.pick({ 'runtime.host': true });

interface Options {
  readonly signal: AbortSignal;
}

export class Move {
  readonly #ends: Ends;
  readonly #plan: Plan;
  readonly #unansweredMs: number;
  readonly #log: Logger;
  #isCalled = false;

  constructor(ends: Ends, plan: Plan, { unansweredMs, log }: { readonly unansweredMs: number; readonly log: Logger }) {
    this.#ends = ends;
    this.#plan = plan;
    this.#unansweredMs = unansweredMs;
    this.#log = log;
  }

  /** From then on the VM may move. */
  get isCalled(): boolean {
    return this.#isCalled;
  }

  /**
   * @throws VimFault with what the task ended with, PluginError ABORTED when it was cancelled by `signal` before it began, BUSY
   * when it was stopped because it began at another host than the one that was checked
   */
  async run({ signal, onProgress }: Options & { onProgress: (percent: number) => void }): Promise<void> {
    signal.throwIfAborted();
    const { client } = this.#ends.source;
    const task = await this.#start();
    const over = new AbortController();
    let cancelling: Promise<void> | undefined;
    const cancel = (): void => {
      cancelling ??= this.#cancel(task, { signal: over.signal });
    };
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) cancel();
    try {
      const elsewhere = await this.#beganElsewhere();
      if (elsewhere !== undefined) cancel();
      // A cancel is a request: how the task ends decides, and it may end well.
      const following = followTask(client, task, { signal: untilAfter(signal, CANCEL_LIMIT_MS), onProgress });
      await following.catch((error: unknown) => {
        throw isFault(error, 'RequestCanceled') && elsewhere !== undefined ? elsewhere : error;
      });
    } finally {
      signal.removeEventListener('abort', cancel);
      over.abort();
      await cancelling;
    }
  }

  /** Asks until vSphere has answered, or until nobody waits for the end any more. Never throws. */
  async #cancel(task: Ref, { signal }: Options): Promise<void> {
    const { client } = this.#ends.source;
    let isTold = false;
    while (!signal.aborted) {
      try {
        return await cancelTask(client, task, { signal });
      } catch (error) {
        if (signal.aborted || client.closed.aborted) return;
        if (!mayCancelAgain(error)) {
          return this.#log.warn({ err: told(error) }, 'the vCenter does not let the move be cancelled');
        }
        if (!isTold)
          this.#log.warn({ err: told(error) }, 'nothing came of the cancel of the move, which is asked for again');
        isTold = true;
        await sleep(CANCEL_AGAIN_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /**
   * From the call on nobody else can move the VM, so where it is now is where the move begins: between other addresses than those
   * that were checked, if it has gone to another host since the last look.
   */
  async #beganElsewhere(): Promise<PluginError | undefined> {
    const { client } = this.#ends.source;
    const { vm, sourceHost, host, request } = this.#plan;
    if (!request.tunnelled || sourceHost === undefined) return undefined;
    try {
      const record = await readObject(client, vm.ref, placeSchema, { signal: client.closed });
      const now = record?.['runtime.host'];
      const isAsMeant = now === undefined || [sourceHost, host].some((each) => sameRef(each?.ref, now));
      return isAsMeant ? undefined : movedSince(sourceHost, now.value);
    } catch {
      return undefined; // It is followed; who does not answer now is found out there.
    }
  }

  /** Never given up half-way: a call that vSphere takes after we have looked away would move a VM that nobody watches. */
  async #start(): Promise<Ref> {
    const { client } = this.#ends.source;
    const { vm, request } = this.#plan;
    const options = { signal: client.closed };
    const before = new Set((await this.#moves(options)).map(({ task }) => refKey(task)));
    const params = { spec: relocateSpec(this.#ends, this.#plan), priority: request.options.priority };
    this.#isCalled = true;
    try {
      return await client.call(vm.ref, 'RelocateVM_Task', params, refSchema, options);
    } catch (error) {
      if (!(error instanceof VimSilence) || error.kind === 'unreachable') throw error;
      return await this.#findStarted(before, error);
    }
  }

  /** A task of ours that was not there before the call is the call's. It is looked for until it can begin no more: nobody would follow it. */
  async #findStarted(before: ReadonlySet<string>, silence: VimSilence): Promise<Ref> {
    const { client } = this.#ends.source;
    const started = performance.now();
    while (performance.now() - started < this.#unansweredMs) {
      const found = await this.#ourMoves(before).catch((error: unknown) => {
        if (error instanceof VimSilence) return [];
        throw error;
      });
      const [first] = found;
      if (first !== undefined) return first.task;
      await sleep(LOOK_MS, undefined, { signal: client.closed }).catch(() => client.closed.throwIfAborted());
    }
    throw new PluginError('CONNECTION_LOST', `No task was seen after the call that moves the VM: ${silence.message}`, {
      cause: silence,
    });
  }

  async #ourMoves(before: ReadonlySet<string>): Promise<TaskInfo[]> {
    const { client } = this.#ends.source;
    const moves = await this.#moves({ signal: client.closed });
    return moves.filter((move) => !before.has(refKey(move.task)) && isOurs(move, client));
  }

  async #moves(options: Options): Promise<TaskInfo[]> {
    const { client } = this.#ends.source;
    const { ref } = this.#plan.vm;
    const record = (await readObject(client, ref, recentSchema, options)) ?? { recentTask: [] };
    return await movesOf(client, { ref, record }, options);
  }
}

/** Aborts some time after `signal` does. */
function untilAfter(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController();
  const start = (): void => {
    setTimeout(() => later.abort(signal.reason), ms).unref();
  };
  if (signal.aborted) start();
  else signal.addEventListener('abort', start, { once: true });
  return later.signal;
}

/** As people read it in the migration's log. */
const told = (error: unknown): PluginError => toPluginError(error, 'cancelling the migration');
