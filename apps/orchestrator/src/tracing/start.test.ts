import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog } from '../log.ts';
import { readTracingSettings, wantsTraces } from './settings.ts';
import { isTracing } from './spans.ts';
import { startTracing } from './start.ts';

const endpoint = 'http://127.0.0.1:4318';

test('traces are wanted when somebody says where to, and not when somebody says no', () => {
  assert.ok(wantsTraces({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }));
  assert.ok(wantsTraces({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'false' }));
  for (const environment of [
    {},
    { OTEL_EXPORTER_OTLP_ENDPOINT: '' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'TRUE' },
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' },
  ]) {
    assert.ok(!wantsTraces(environment));
  }
});

test('the variables that every SDK has, with its defaults', () => {
  const { protocol, sampler, batch } = readTracingSettings({ OTEL_TRACES_SAMPLER: '' });
  assert.deepEqual([protocol, sampler, batch.scheduledDelayMillis], ['http/protobuf', 'parentbased_always_on', 5_000]);
  const set = readTracingSettings({
    ...{ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf', OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'http/json' },
    ...{ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.25', OTEL_BSP_MAX_QUEUE_SIZE: '100' },
  });
  assert.deepEqual([set.protocol, set.sampler, set.samplerRatio], ['http/json', 'traceidratio', 0.25]);
  assert.equal(set.batch.maxExportBatchSize, 100, 'no batch is larger than the queue');
});

test('settings that make no sense cost the traces, not the start; and secrets leave the environment', async () => {
  const log = createLog('error');
  const environment: NodeJS.ProcessEnv = {
    ...{ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    ...{ OTEL_EXPORTER_OTLP_HEADERS: 'x-key=a', OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-key=b' },
  };
  const tracing = await startTracing(environment, 'all', log);
  assert.equal(isTracing(), false);
  assert.deepEqual(Object.keys(environment), ['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_PROTOCOL']);
  await tracing.stop();
});
