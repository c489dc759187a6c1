/**
 * The SDK of OpenTelemetry, put behind spans.ts. Imported only when an exporter is configured (start.ts), so that nobody
 * else pays for it. It owns the provider; spans are sent in batches, and dropped when nobody takes them: no migration ever
 * waits for a collector.
 */
import { hostname } from 'node:os';
import { context, DiagLogLevel, diag, propagation, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import {
  detectResources,
  resourceAttributesEnvDetector,
  resourceFromAttributes,
  serviceInstanceIdDetector,
  serviceNameEnvDetector,
} from '@opentelemetry/resources';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { Logger } from '../log.ts';
import { onceAMinute } from '../once-a-minute.ts';
import { VERSION } from '../version.ts';
import type { TracingSettings } from './settings.ts';
import { switchTracing } from './spans.ts';

/** @returns what sends the rest and ends it */
export async function installExporter(
  settings: TracingSettings,
  role: string,
  log: Logger,
): Promise<() => Promise<void>> {
  diag.setLogger(quietLogger(log), DiagLogLevel.WARN);
  const exporter = await exporterFor(settings.protocol);
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      ...{ 'service.name': 'lmas-orchestrator', 'service.version': VERSION, 'lmas.role': role },
      ...{ 'host.name': hostname(), 'process.pid': process.pid },
    }).merge(
      detectResources({
        detectors: [resourceAttributesEnvDetector, serviceInstanceIdDetector, serviceNameEnvDetector],
      }),
    ),
    sampler: samplerFor(settings),
    spanProcessors: [new BatchSpanProcessor({ exporter, ...settings.batch })],
  });
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(provider);
  switchTracing(true);
  return async () => {
    switchTracing(false);
    await provider.shutdown();
  };
}

async function exporterFor(protocol: TracingSettings['protocol']): Promise<SpanExporter> {
  switch (protocol) {
    case 'http/protobuf':
      return new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter();
    case 'http/json':
      return new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter();
  }
}

function samplerFor({ sampler, samplerRatio }: TracingSettings): Sampler {
  switch (sampler) {
    case 'always_on':
      return new AlwaysOnSampler();
    case 'always_off':
      return new AlwaysOffSampler();
    case 'traceidratio':
      return new TraceIdRatioBasedSampler(samplerRatio);
    case 'parentbased_always_on':
      return new ParentBasedSampler({ root: new AlwaysOnSampler() });
    case 'parentbased_always_off':
      return new ParentBasedSampler({ root: new AlwaysOffSampler() });
    case 'parentbased_traceidratio':
      return new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(samplerRatio) });
  }
}

/** A collector that is away is told of once in a while, not with every batch. */
function quietLogger(log: Logger) {
  const complain = onceAMinute((detail) => log.warn({ detail }, 'traces'));
  const ignore = (): void => undefined;
  return { error: complain, warn: complain, info: ignore, debug: ignore, verbose: ignore };
}
