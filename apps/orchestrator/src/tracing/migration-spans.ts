/**
 * The spans of one migration, in one trace from its submission to its end:
 *
 *   POST /v1/migrations → submit ─┬→ process admitted ─┬→ stage queued, stage checking, …, stage tearing-down
 *                                 │                    └→ plugin …, gateway …
 *                                 ├→ process urgent         (the run that takes over after a crash)
 *                                 └→ process webhooks → POST   (what is told of it, see delivery-spans.ts)
 *
 * The record carries the context from the submission to its runs, so neither the queue nor a restart breaks the trace; a run
 * links to the `send …` of its job (see queue-spans.ts). What is of LMAS is under `lmas.`.
 */
import type { Phase } from '../migrations/phases.ts';
import type { Migration } from '../migrations/record.ts';
import { type Job, messaging } from './queue-spans.ts';
import { currentTraceparent, inSpan, noteFailure, pastSpan, SpanKind } from './spans.ts';

/** Stores a migration that waits for a worker. @param store is given what its runs continue */
export async function inSubmitSpan(id: string, store: (traceparent: string | null) => Promise<void>): Promise<void> {
  await inSpan('submit', { attributes: { 'lmas.migration.id': id } }, () => store(currentTraceparent()));
}

interface TracedRun {
  readonly token: number;
  readonly migration: Migration;
  readonly notes: { readonly traceparent: string | null };
  readonly lost: AbortSignal;
}

/** One run of a migration, from its claim on. Its span has the migration's error, once it ended with one. */
export async function inRunSpan(run: TracedRun, { queue, id, sentIn }: Job, work: () => Promise<void>): Promise<void> {
  const { migration, token, notes } = run;
  const attributes = {
    ...messaging(queue, 'process'),
    ...{ 'messaging.message.id': id, 'lmas.migration.id': migration.id, 'lmas.run': token },
    ...{ 'lmas.plugin': migration.plugin ?? 'none', 'lmas.transport': migration.request.transport },
    ...{ 'lmas.source': migration.source.endpoint, 'lmas.destination': migration.destination.endpoint },
  };
  const settings = { kind: SpanKind.CONSUMER, attributes, continues: notes.traceparent, linkedTo: sentIn };
  await inSpan(`process ${queue}`, settings, async (span) => {
    if (token === 1) pastSpan('stage queued', new Date(migration.createdAt), { 'lmas.migration.phase': 'queued' });
    await work();
    const { phase, error, where } = run.migration;
    span.setAttributes({ 'lmas.migration.phase': phase, 'lmas.migration.where': where });
    if (run.lost.aborted) span.setAttribute('lmas.run.lost', true);
    else if (error !== null) noteFailure(span, error.code, error.message);
  });
}

export async function inStageSpan<T>(phase: Phase, work: () => Promise<T>): Promise<T> {
  return await inSpan(`stage ${phase}`, { attributes: { 'lmas.migration.phase': phase } }, work);
}
