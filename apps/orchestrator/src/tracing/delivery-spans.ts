/**
 * The spans of a webhook's deliveries. What is told of a migration belongs to the migration's trace, whoever sends it and
 * however late; what is told of anything else is a trace of its own. Each links to the `send webhooks` of its job.
 */
import { type Job, messaging } from './queue-spans.ts';
import { inSpan, isTracing, noteFailure, SpanKind } from './spans.ts';

interface TracedDelivery {
  readonly webhook: string;
  readonly event: string;
  readonly migration: string | null;
}

/** One attempt, whose span has its fault. @param traceparentOf the `traceparent` that a migration's runs continue */
export async function inDeliverySpan<T extends { readonly fault: string | null; readonly message: string | null }>(
  { webhook, event, migration }: TracedDelivery,
  { queue, id, sentIn }: Job,
  traceparentOf: (migrationId: string) => Promise<string | null>,
  attempt: () => Promise<T>,
): Promise<T> {
  const continues = migration === null || !isTracing() ? null : await traceparentOf(migration);
  const attributes = {
    ...messaging(queue, 'process'),
    ...{ 'messaging.message.id': id, 'lmas.webhook': webhook, 'lmas.event': event },
    ...(migration === null ? {} : { 'lmas.migration.id': migration }),
  };
  const settings = { kind: SpanKind.CONSUMER, attributes, continues, linkedTo: sentIn };
  return await inSpan(`process ${queue}`, settings, async (span) => {
    const outcome = await attempt();
    if (outcome.fault !== null) noteFailure(span, outcome.fault, outcome.message ?? '');
    return outcome;
  });
}

/** The POST itself. Of the address only the host is told: the rest of it may be as good as a login. */
export async function inPostSpan(
  { hostname, protocol }: URL,
  webhook: string,
  send: () => Promise<number>,
): Promise<number> {
  const attributes = {
    ...{ 'http.request.method': 'POST', 'server.address': hostname, 'url.scheme': protocol.slice(0, -1) },
    'lmas.webhook': webhook,
  };
  return await inSpan('POST', { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const status = await send();
    span.setAttribute('http.response.status_code', status);
    if (status >= 400) noteFailure(span, String(status), '');
    return status;
  });
}
