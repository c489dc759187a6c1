/**
 * The spans of what is put into a queue and taken out of it; names and attributes follow the conventions for messaging. A job
 * carries the context of its sending, and whoever takes it links to that: it belongs to the trace of the work, not of whoever
 * found that there was something to do.
 */
import { type Attributes, currentTraceparent, inSpan, SpanKind } from './spans.ts';

/** How a worker came by its work. */
export interface Job {
  readonly queue: string;
  readonly id: string;
  /** The `traceparent` of its sending. */
  readonly sentIn: string | null;
}

export const messaging = (queue: string, operation: 'send' | 'process') => ({
  'messaging.system': 'bullmq',
  'messaging.destination.name': queue,
  'messaging.operation.name': operation,
  'messaging.operation.type': operation,
});

/** Sends one job, or several at once. @param send is given what goes with each */
export async function inSendSpan(
  queue: string,
  attributes: Attributes,
  send: (sentIn: string | null) => Promise<unknown>,
): Promise<void> {
  const settings = { kind: SpanKind.PRODUCER, attributes: { ...messaging(queue, 'send'), ...attributes } };
  await inSpan(`send ${queue}`, settings, async () => void (await send(currentTraceparent())));
}
