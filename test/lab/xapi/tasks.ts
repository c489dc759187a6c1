/** Tasks, as clients see them. */
import { randomUUID } from 'node:crypto';
import { type Database, NULL_REF } from './database.ts';
import { Fault } from './fault.ts';

export interface Running {
  readonly ref: string;
  readonly cancel: AbortController;
  /** Off once the memory is over: from there XAPI goes through. */
  cancellable: boolean;
  /** The tool stack was restarted, and does not know of it. */
  forgotten: boolean;
  /** Whoever worked on it is gone, and tidies nothing up. */
  dead: boolean;
}

export function newTask(database: Database, label: string): string {
  return database.add('task', {
    ...{
      uuid: randomUUID(),
      name_label: label,
      name_description: '',
      status: 'pending',
      progress: 0,
      type: '<none/>',
      result: '',
    },
    ...{ error_info: [], other_config: {}, subtask_of: NULL_REF, subtasks: [], resident_on: NULL_REF },
    ...{
      allowed_operations: ['cancel'],
      current_operations: {},
      created: new Date().toISOString(),
      finished: '19700101T00:00:00Z',
    },
  });
}

/** A task that was taken away meanwhile (another coordinator) has no end that anybody sees. */
export function endTask(
  database: Database,
  ref: string,
  outcome: { result?: unknown; bare?: boolean; error?: unknown },
): void {
  if (database.get('task', ref) === undefined) return;
  const finished = new Date().toISOString();
  const { error } = outcome;
  if (error === undefined) {
    const text = typeof outcome.result === 'string' ? outcome.result : '';
    const result = text.startsWith('OpaqueRef:') && outcome.bare !== true ? `<value>${text}</value>` : text;
    database.update('task', ref, { status: 'success', progress: 1, result, finished, allowed_operations: [] });
    return;
  }
  const fault = error instanceof Fault ? error : new Fault('INTERNAL_ERROR', String(error));
  const status = fault.code === 'TASK_CANCELLED' ? 'cancelled' : 'failure';
  database.update('task', ref, {
    status,
    progress: 1,
    error_info: [fault.code, ...fault.params],
    finished,
    allowed_operations: [],
  });
}
