/**
 * Tasks, as clients see them: `Task.info`. The work runs on, whoever looks.
 *
 *   queued ──▶ running ──▶ success
 *      └──────────┴──────▶ error      CancelTask while `cancelable`: RequestCanceled
 */
import { VimFault } from './fault.ts';
import type { Objects } from './inventory/objects.ts';
import { type DataObject, type MoRef, moRef, textOf, type Value } from './schema/value.ts';

export interface TaskWork {
  readonly ref: MoRef;
  /** Aborted by CancelTask. */
  readonly signal: AbortSignal;
  progress(percent: number): void;
  /** From here a cancel is ignored, and `cancelable` says so. */
  pointOfNoReturn(): void;
}

const TASK_MANAGER = moRef('TaskManager', 'TaskManager');
const RECENT_TASKS = 200;

interface Running {
  readonly cancel: AbortController;
  cancelable: boolean;
}

export class Tasks {
  readonly #objects: Objects;
  readonly #running = new Map<string, Running>();
  /** A cancelled task says RequestCanceled at once, and its work goes on to its end all the same. */
  lateSuccess = false;
  readonly #beforeRunning: (signal: AbortSignal) => Promise<void>;
  #nextFault: VimFault | undefined;
  #count = 0;

  /** @param beforeRunning a task is queued for so long */
  constructor(objects: Objects, beforeRunning: (signal: AbortSignal) => Promise<void>) {
    this.#objects = objects;
    this.#beforeRunning = beforeRunning;
  }

  /** The next task ends so, and does nothing. */
  failNext(fault: VimFault): void {
    this.#nextFault = fault;
  }

  get(ref: MoRef): Value | undefined {
    return this.#objects.get(ref, 'info');
  }

  /** @param descriptionId as `VirtualMachine.relocate` */
  start(
    about: {
      readonly name: string;
      readonly descriptionId: string;
      readonly entity?: MoRef;
      readonly userName: string;
    },
    work: (task: TaskWork) => Promise<Value | undefined>,
  ): MoRef {
    const ref = this.#objects.newRef('Task', 'task-');
    this.#count += 1;
    const { name, descriptionId, entity, userName } = about;
    const entityName = entity === undefined ? undefined : textOf(this.#objects.get(entity, 'name'));
    const info: DataObject = {
      ...{ key: ref.value, task: ref, name, descriptionId, state: 'queued', cancelled: false, cancelable: true },
      ...(entity === undefined ? {} : { entity }),
      ...(entityName === undefined ? {} : { entityName }),
      ...{ reason: { _typeName: 'TaskReasonUser', userName }, queueTime: now(), eventChainId: this.#count },
    };
    this.#objects.add(ref, { info });
    this.#remember(ref, TASK_MANAGER);
    if (entity !== undefined) this.#remember(ref, entity);
    const running: Running = { cancel: new AbortController(), cancelable: true };
    this.#running.set(ref.value, running);
    const fault = this.#nextFault;
    this.#nextFault = undefined;
    const failing = (): Promise<never> => Promise.reject(fault);
    setImmediate(() => void this.#run(ref, running, fault === undefined ? work : failing));
    return ref;
  }

  /** In the lists where clients look for tasks that they have not begun themselves; a real vCenter drops the oldest. */
  #remember(task: MoRef, owner: MoRef): void {
    if (this.#objects.find(owner) === undefined) return;
    const before = (this.#objects.get(owner, 'recentTask') ?? []) as readonly MoRef[];
    this.#objects.set(owner, { recentTask: [...before, task].slice(-RECENT_TASKS) });
  }

  /** @throws VimFault InvalidState for a task that is over, NotSupported for one that cannot be cancelled any more */
  cancel(ref: MoRef, late: 'ignored' | 'NotSupported'): void {
    const running = this.#running.get(ref.value);
    if (running === undefined) {
      this.#objects.need(ref);
      throw new VimFault('InvalidState', {}, 'The operation is not allowed in the current state.');
    }
    if (this.lateSuccess) {
      this.#end(ref, { error: canceled() });
      return;
    }
    if (!running.cancelable && late === 'NotSupported') throw new VimFault('NotSupported');
    if (!running.cancelable) return; // switch-over goes through
    this.#update(ref, { cancelled: true });
    running.cancel.abort(canceled());
  }

  /** As when the server goes: nobody will ever know how they ended. */
  forgetAll(): void {
    for (const { cancel } of this.#running.values()) cancel.abort(canceled());
    for (const { ref } of this.#objects.all('Task')) this.#objects.remove(ref);
    this.#running.clear();
  }

  async #run(ref: MoRef, running: Running, work: (task: TaskWork) => Promise<Value | undefined>): Promise<void> {
    try {
      await this.#beforeRunning(running.cancel.signal);
      this.#update(ref, { state: 'running', startTime: now() });
      const result = await work({
        ref,
        signal: running.cancel.signal,
        progress: (percent) => this.#progress(ref, percent),
        pointOfNoReturn: () => {
          running.cancelable = false;
          this.#update(ref, { cancelable: false });
        },
      });
      this.#end(ref, { ...(result === undefined ? {} : { result }) });
    } catch (error) {
      this.#end(ref, { error });
    }
  }

  #progress(ref: MoRef, percent: number): void {
    const progress = Math.max(0, Math.min(100, Math.round(percent)));
    if (this.#objects.find(ref) === undefined || this.#objects.at(ref, 'info.progress') === progress) return;
    this.#update(ref, { progress });
  }

  #end(ref: MoRef, outcome: { readonly result?: Value; readonly error?: unknown }): void {
    this.#running.delete(ref.value);
    const before = this.#objects.find(ref)?.properties.get('info') as DataObject | undefined;
    if (before === undefined || before.state === 'success' || before.state === 'error') return;
    const { progress: _, ...rest } = before;
    const over = { ...rest, cancelable: false, completeTime: now() };
    const { error, result } = outcome;
    if (error === undefined)
      this.#objects.set(ref, { info: { ...over, state: 'success', ...(result === undefined ? {} : { result }) } });
    else {
      const fault =
        error instanceof VimFault ? error : new VimFault('SystemError', { reason: String(error) }, String(error));
      this.#objects.set(ref, {
        info: { ...over, state: 'error', error: fault.localized(), cancelled: fault.faultName === 'RequestCanceled' },
      });
    }
  }

  #update(ref: MoRef, members: DataObject): void {
    const state = this.#objects.find(ref) === undefined ? undefined : this.#objects.at(ref, 'info.state');
    if (state === 'queued' || state === 'running') this.#objects.merge(ref, 'info', members);
  }
}

const canceled = (): VimFault => new VimFault('RequestCanceled', {}, 'The task was canceled by a user.');

export const now = (): string => new Date().toISOString();
