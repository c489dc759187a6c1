/**
 * Traces, as an OpenTelemetry collector gets them from a process of its own: one for each migration, from the call of whoever
 * asked for it to its end, also over a crash. And nothing at all where no exporter is configured.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ERROR_STATUS, KIND, type ReceivedSpan, receiveTraces, type TraceReceiver } from '../support/trace-receiver.ts';
import { receiveWebhooks } from '../support/webhook-receiver.ts';
import { OrchestratorProcess } from './child.ts';
import { SHORT, setStage, temporaryDirectory } from './harness.ts';

const MAIN = fileURLToPath(new URL('../../apps/orchestrator/src/main.ts', import.meta.url));
const TRACE_ID = '0af7651916cd43dd8448eb211c80319c';
const CALLER_SPAN = 'b7ad6b7169203331';

const directory = await temporaryDirectory();
let collector: TraceReceiver;
let orchestrator: OrchestratorProcess;
before(async () => {
  collector = await receiveTraces();
  orchestrator = new OrchestratorProcess(directory.path, {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
    OTEL_BSP_SCHEDULE_DELAY: '50',
    OTEL_SERVICE_NAME: 'lmas-of-this-test',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=lab',
    LMAS_WEBHOOK_ALLOW: '127.0.0.0/8',
    LMAS_WEBHOOK_RETRY_MS: '100',
  });
  await orchestrator.start();
});
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await collector[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const runsOf = (spans: readonly ReceivedSpan[], id: string): ReceivedSpan[] =>
  spans.filter(({ kind, attributes }) => kind === KIND.consumer && attributes['lmas.migration.id'] === id);

/** The trace of a migration, once a run has brought it to its end and everything before that has come, too. */
async function traceOf(id: string, { endedBy }: { endedBy: string }): Promise<ReceivedSpan[]> {
  await collector.until(`end of ${id}`, (spans) =>
    runsOf(spans, id).some(({ attributes }) => attributes['lmas.migration.phase'] === endedBy),
  );
  const [run] = runsOf(collector.spans, id);
  assert.ok(run !== undefined);
  return collector.spans.filter(({ traceId }) => traceId === run.traceId);
}

function one(trace: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const found = trace.filter((span) => span.name === name);
  assert.equal(found.length, 1, `${name}: ${found.length} of ${trace.map((span) => span.name).join(', ')}`);
  return found[0] ?? assert.fail();
}

/** Every span but the first has its parent in the same trace. */
function assertConnected(trace: readonly ReceivedSpan[], root: string): void {
  const ids = new Set([root, ...trace.map(({ spanId }) => spanId)]);
  for (const { name, parentSpanId } of trace) assert.ok(ids.has(parentSpanId), `${name} hangs in the air`);
}

test('a migration is one trace, from the call of its portal to the teardown', async () => {
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const traceparent = `00-${TRACE_ID}-${CALLER_SPAN}-01`;
  const { source, destination, vmId: vm } = stage;
  const answer = await orchestrator.api.call('POST', '/v1/migrations', { vm, source, destination }, { traceparent });
  const id = String(answer.body.id);
  await orchestrator.api.ended(id);
  const trace = await traceOf(id, { endedBy: 'succeeded' });
  assertConnected(trace, CALLER_SPAN);
  const call = one(trace, 'POST /v1/migrations');
  assert.deepEqual([call.traceId, call.parentSpanId, call.kind], [TRACE_ID, CALLER_SPAN, KIND.server]);
  assert.equal(call.attributes['http.response.status_code'], 202);
  assert.equal(call.attributes['http.route'], '/v1/migrations');
  assert.equal(call.attributes['lmas.request.id'], answer.headers.get('x-request-id'));
  const submitted = one(trace, 'submit');
  assert.deepEqual([submitted.parentSpanId, submitted.kind], [call.spanId, KIND.internal]);
  const run = one(trace, 'process admitted');
  assert.deepEqual([run.parentSpanId, run.kind, run.status.code], [submitted.spanId, KIND.consumer, 0]);
  const sending = collector.spans.find(({ spanId }) => spanId === run.links[0]?.spanId);
  assert.deepEqual(
    [sending?.name, sending?.kind],
    ['send admitted', KIND.producer],
    'it links to where its job was sent',
  );
  assert.equal(sending?.attributes['messaging.batch.message_count'], 1);
  const { 'lmas.migration.where': where, 'messaging.system': system, 'lmas.plugin': plugin } = run.attributes;
  assert.deepEqual([where, system, plugin], ['destination', 'bullmq', 'simulated']);
  const stages = trace.filter(({ name }) => name.startsWith('stage '));
  assert.deepEqual(
    stages.sort((a, b) => Number(a.startTimeUnixNano - b.startTimeUnixNano)).map(({ name }) => name),
    [
      ...['stage queued', 'stage checking', 'stage provisioning', 'stage preparing', 'stage connecting'],
      ...['stage performing', 'stage confirming', 'stage tearing-down'],
    ],
  );
  for (const span of stages) assert.equal(span.parentSpanId, run.spanId, span.name);
  const inside = (stageName: string) =>
    trace.filter(({ parentSpanId }) => parentSpanId === one(trace, stageName).spanId).map(({ name }) => name);
  assert.ok(inside('stage performing').includes('plugin perform'));
  assert.ok(inside('stage confirming').includes('plugin confirm'));
  assert.deepEqual(inside('stage tearing-down').sort(), ['gateway remove', 'gateway remove']);
  assert.equal(inside('stage provisioning').filter((name) => name === 'gateway start').length, 2);
  assert.ok(inside('stage connecting').includes('gateway putRoute'));
  const log = await orchestrator.api.must<{ items: { fields: { trace_id?: string } }[] }>(
    'GET',
    `/v1/migrations/${id}/log`,
  );
  assert.ok(log.items.length > 0 && log.items.every(({ fields }) => fields.trace_id === TRACE_ID));
  const [resource] = collector.resources;
  assert.equal(resource?.['service.name'], 'lmas-of-this-test');
  assert.equal(resource?.['deployment.environment.name'], 'lab');
});

test('what went wrong is in the spans that it went through, by its code', async () => {
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const { id } = await stage.submit({ transport: 'direct', vm: 'nobody-has-it' });
  await orchestrator.api.ended(id);
  const trace = await traceOf(id, { endedBy: 'failed' });
  for (const name of ['plugin findVm', 'stage checking', 'process admitted']) {
    const { status, attributes } = one(trace, name);
    assert.deepEqual([status.code, attributes['error.type']], [ERROR_STATUS, 'VM_NOT_FOUND'], name);
  }
  assert.equal(one(trace, 'POST /v1/migrations').status.code, 0);
  await orchestrator.api.call('GET', '/v1/sites/not-there');
  await collector.until('refused call', (spans) =>
    spans.some(({ attributes }) => attributes['lmas.error.code'] === 'SITE_NOT_FOUND'),
  );
});

test('webhooks that tell of a migration belong to its trace, a failed attempt with its fault; others to none', async () => {
  await using receiver = await receiveWebhooks();
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const { api } = orchestrator;
  await api.must('POST', '/v1/webhooks', { id: 'traced', url: receiver.url, events: ['migration.succeeded'] });
  receiver.answerWith((response) => void response.writeHead(receiver.received.length === 1 ? 503 : 204).end());
  const { id } = await stage.submit({ transport: 'direct' });
  await receiver.until(2);
  await api.must('POST', '/v1/webhooks/traced/test');
  await receiver.until(3);
  const attempts = () => collector.spans.filter(({ name }) => name === 'process webhooks');
  await collector.until('span of the last attempt', () => attempts().length === 3);
  await api.must('DELETE', '/v1/webhooks/traced');
  const trace = await traceOf(id, { endedBy: 'succeeded' });
  assertConnected(trace, '');
  const told = attempts().filter(({ traceId }) => traceId === trace[0]?.traceId);
  const parent = one(trace, 'submit').spanId;
  assert.deepEqual(
    told.map(({ attributes, ...span }) => [span.parentSpanId, span.kind, attributes['lmas.event']]),
    Array(2).fill([parent, KIND.consumer, 'migration.succeeded']),
  );
  assert.deepEqual(
    told.map(({ status, attributes }) => [status.code, attributes['error.type']]),
    [
      [ERROR_STATUS, 'HTTP_STATUS'],
      [0, undefined],
    ],
  );
  for (const attempt of attempts()) {
    const posts = collector.spans.filter(({ parentSpanId }) => parentSpanId === attempt.spanId);
    assert.deepEqual(
      posts.map(({ name, kind }) => [name, kind]),
      [['POST', KIND.client]],
    );
    const sending = collector.spans.find(({ spanId }) => spanId === attempt.links[0]?.spanId);
    assert.equal(sending?.name, 'send webhooks');
  }
  const [test] = attempts().filter(({ traceId }) => traceId !== trace[0]?.traceId);
  assert.deepEqual([test?.parentSpanId, test?.attributes['lmas.event']], ['', 'webhook.test']);
});

test('a reader of events who hangs up ends the span', async () => {
  const { url, key } = orchestrator.api;
  const reading = new AbortController();
  const headers = { authorization: `Bearer ${key}` };
  const response = await fetch(`${url}/v1/events`, { headers, signal: reading.signal });
  await response.body?.getReader().read();
  reading.abort();
  await collector.until('span of the reader', (spans) =>
    spans.some(({ name, attributes }) => name === 'GET /v1/events' && attributes['lmas.hung_up'] === true),
  );
  assert.ok(!collector.spans.some(({ name, attributes }) => name.startsWith('POST') && 'lmas.hung_up' in attributes));
});

test('a run that takes over after a crash continues the trace', async () => {
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const hold = stage.world.faults.arm('source.perform', 'hold-after');
  const { id } = await stage.submit({ options: { durationMs: 50 } });
  await hold.reached;
  await collector.until('prepared migration', (spans) =>
    spans.some(({ name, attributes }) => name === 'plugin prepare' && attributes['lmas.migration.id'] === id),
  );
  await orchestrator.end('SIGKILL');
  await orchestrator.start();
  hold.release();
  await orchestrator.api.ended(id, 40_000);
  const trace = await traceOf(id, { endedBy: 'failed' });
  const taken = runsOf(trace, id).find(({ attributes }) => attributes['lmas.run'] !== 1);
  assert.equal(taken?.parentSpanId, one(trace, 'submit').spanId);
  const hurried = collector.spans.filter(({ name, kind }) => name === 'send urgent' && kind === KIND.producer);
  assert.ok(
    hurried.some(
      ({ attributes, spanId }) => attributes['lmas.migration.id'] === id && spanId === taken?.links[0]?.spanId,
    ),
  );
  assert.notEqual(one(trace, 'settle').attributes['error.type'], 'INTERNAL');
  // Of the run that was killed there is what it had ended before.
  assert.ok(one(trace, 'stage preparing').endTimeUnixNano < one(trace, 'settle').startTimeUnixNano);
});

test('of a trace that its caller does not keep nothing is sent', async () => {
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const ignored = 'c'.repeat(32);
  const submit = async (traceparent: string): Promise<string> => {
    const { vmId: vm, source, destination } = stage;
    const body = { vm, source, destination, transport: 'direct' };
    const answer = await orchestrator.api.call('POST', '/v1/migrations', body, { traceparent });
    const id = String(answer.body.id);
    await orchestrator.api.ended(id);
    return id;
  };
  await submit(`00-${ignored}-${CALLER_SPAN}-00`);
  // The VM is gone from the source by now: the next one fails, and is seen to.
  const { traceId } =
    (await traceOf(await submit(`00-${'d'.repeat(32)}-${CALLER_SPAN}-01`), { endedBy: 'failed' }))[0] ?? {};
  assert.equal(traceId, 'd'.repeat(32));
  assert.deepEqual(
    collector.spans.filter((span) => span.traceId === ignored),
    [],
  );
});

/** Starts the command itself, and tells which parts of OpenTelemetry it has loaded once it is ready. */
async function loadedBy(
  settings: Record<string, string>,
): Promise<{ packages: string[]; url: string; stop: () => Promise<void> }> {
  const spy = `import { registerHooks } from 'node:module';
    const seen = new Set();
    registerHooks({ resolve(name, context, next) {
      const found = next(name, context);
      const named = /@opentelemetry\\/[a-z-]+/.exec(found.url);
      if (named && !seen.has(named[0])) { seen.add(named[0]); console.log('loads ' + named[0]); }
      return found;
    } });`;
  const child = spawn(process.execPath, ['--import', `data:text/javascript,${encodeURIComponent(spy)}`, MAIN], {
    env: { ...process.env, ...SHORT, LMAS_DATA_DIR: `${directory.path}/own`, LMAS_LOG_LEVEL: 'info', ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const packages: string[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`ended with ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('loads ')) packages.push(line.slice('loads '.length));
      if (line.includes('"msg":"ready"')) resolve(String(JSON.parse(line).url));
    });
  });
  const stop = async () => {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    await exited;
  };
  return { packages, url, stop };
}

test('without an exporter nothing of the SDK is loaded; with one, protobuf is what is sent', async () => {
  const endpoint = `${collector.endpoint}/v1/traces`;
  for (const off of [{}, { OTEL_SDK_DISABLED: 'true', OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint }]) {
    const { packages, stop } = await loadedBy(off);
    await stop();
    assert.deepEqual(packages, ['@opentelemetry/api']);
  }
  await using own = await receiveTraces();
  const { packages, url, stop } = await loadedBy({
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${own.endpoint}/somewhere`,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-key=of-the-collector',
  });
  assert.ok(packages.includes('@opentelemetry/sdk-trace'));
  await fetch(`${url}/v1/version`);
  await stop();
  const [{ headers, path, body } = assert.fail('nothing was sent')] = own.posts;
  assert.deepEqual([headers['content-type'], headers['x-key']], ['application/x-protobuf', 'of-the-collector']);
  assert.equal(path, '/somewhere');
  assert.ok(body.includes('GET /v1/version'));
});
