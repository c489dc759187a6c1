/**
 * Spans of OpenTelemetry at our own seams: calls of the API, jobs, stages of a migration, calls of plugins and gateways,
 * webhooks. Everybody else traces through this file, which knows the API of OpenTelemetry only; the SDK behind it
 * (exporter.ts) is loaded when an exporter is configured. Until then every function here hands on to the work at once.
 *
 * Names are bounded: what the code names, never what a caller or a record does. An error is its code and our words for it,
 * as in a record; no stacks, and no text of errors that no table knows.
 */
import {
  type Attributes,
  type Context,
  context,
  INVALID_SPAN_CONTEXT,
  type Link,
  propagation,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TimeInput,
  trace,
} from '@opentelemetry/api';
import { describeError } from '../errors.ts';
import { VERSION } from '../version.ts';

export { type Attributes, type Span, SpanKind } from '@opentelemetry/api';

const NO_SPAN = trace.wrapSpanContext(INVALID_SPAN_CONTEXT);

const NONE: ReadonlySet<string> = new Set();

let isOn = false;

/** For exporter.ts: from now on spans are made. */
export function switchTracing(on: boolean): void {
  isOn = on;
}

/** Whether somebody wants to have spans at all. */
export const isTracing = (): boolean => isOn;

const tracer = () => trace.getTracer('lmas', VERSION);

/** Where a trace came from: `traceparent` and `tracestate` of W3C Trace Context. */
export type TraceHeaders = Readonly<Record<string, string | string[] | undefined>>;

export interface SpanSettings {
  readonly kind?: SpanKind;
  readonly attributes?: Attributes;
  /** The `traceparent` to continue, in the place of whatever is under way here; null: a new trace. */
  readonly continues?: string | null;
  /** The `traceparent` of a span of another trace that led to this one. */
  readonly linkedTo?: string | null;
}

/** Does the work within a span; what it throws is the span's error. */
export async function inSpan<T>(
  name: string,
  { continues, linkedTo, ...options }: SpanSettings,
  work: (span: Span) => Promise<T>,
): Promise<T> {
  if (!isOn) return await work(NO_SPAN);
  const parent = continues === undefined ? context.active() : contextOf({ traceparent: continues ?? undefined });
  const span = tracer().startSpan(name, { ...options, links: linksTo(linkedTo) }, parent);
  try {
    return await context.with(trace.setSpan(parent, span), () => work(span));
  } catch (error) {
    noteError(span, error);
    throw error;
  } finally {
    span.end();
  }
}

/** A span of the past, within the one that is under way. */
export function pastSpan(name: string, startTime: TimeInput, attributes: Attributes): void {
  if (isOn) tracer().startSpan(name, { startTime, attributes }).end();
}

/** A span that begins and ends in different callbacks; its owner ends it. */
export function openSpan(name: string, options: SpanSettings, headers: TraceHeaders): OpenSpan {
  const parent = contextOf(headers);
  const span = tracer().startSpan(name, options, parent);
  const own = trace.setSpan(parent, span);
  return { span, within: (work) => context.with(own, work) };
}

export interface OpenSpan {
  readonly span: Span;
  /** What begins in there belongs to the span. */
  within(work: () => void): void;
}

/** The span that is under way, as a `traceparent` for whoever continues it later; null without one. */
export function currentTraceparent(): string | null {
  if (!isOn) return null;
  const carrier: Record<string, string> = {};
  propagation.inject(context.active(), carrier);
  return carrier.traceparent ?? null;
}

/** What ties a line of the log to the span in which it was written. */
export function traceFields(): Record<string, string> {
  const span = isOn ? trace.getActiveSpan()?.spanContext() : undefined;
  return span === undefined ? {} : { trace_id: span.traceId, span_id: span.spanId };
}

export function noteError(span: Span, error: unknown): void {
  const { code, message } = describeError(error);
  noteFailure(span, code, message);
}

/** @param code one of an error table, or what an interface of ours knows as a fault */
export function noteFailure(span: Span, code: string, message: string): void {
  span.setAttribute('error.type', code);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

/**
 * The same object, whose method calls are spans named `<what> <method>` while somebody traces. For objects whose methods are
 * asked by us alone: it does not have the private parts of what it stands for.
 */
export function tracedCalls<T extends object>(
  target: T,
  what: string,
  attributes: Attributes,
  { except = NONE }: { except?: ReadonlySet<string> } = {},
): T {
  if (!isOn) return target;
  const options = { kind: SpanKind.CLIENT, attributes };
  return new Proxy(target, {
    get(_, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== 'function' || typeof name !== 'string') return member;
      return (...args: unknown[]): unknown => {
        const call = (): unknown => Reflect.apply(member, target, args);
        return except.has(name) ? call() : callInSpan(`${what} ${name}`, options, call);
      };
    },
  });
}

/** As `inSpan`, for a call that may answer at once: it answers then as well. */
function callInSpan(name: string, options: SpanSettings, call: () => unknown): unknown {
  const span = tracer().startSpan(name, options);
  const fail = (error: unknown): never => {
    noteError(span, error);
    span.end();
    throw error;
  };
  const end = (answer: unknown): unknown => {
    span.end();
    return answer;
  };
  try {
    const answer = context.with(trace.setSpan(context.active(), span), call);
    return answer instanceof Promise ? answer.then(end, fail) : end(answer);
  } catch (error) {
    return fail(error);
  }
}

function linksTo(traceparent: string | null | undefined): Link[] {
  const found = traceparent == null ? undefined : trace.getSpanContext(contextOf({ traceparent }));
  return found === undefined ? [] : [{ context: found }];
}

function contextOf(headers: TraceHeaders): Context {
  return propagation.extract(ROOT_CONTEXT, headers);
}
