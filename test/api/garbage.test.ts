/**
 * Generated garbage at every route of the OpenAPI document, against a real server on a real Redis: never a defect, never
 * a hang, never a leak, and every refusal is a problem. `LMAS_GARBAGE_RUNS` (default 60) is how many requests each
 * operation gets; a failure prints the seed and the smallest request that shows it.
 */
import assert from 'node:assert/strict';
import { Agent, type IncomingHttpHeaders, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { PLUGIN_ERRORS } from '@lmas/plugin-api';
import fc from 'fast-check';
import { describeCode, ORCHESTRATOR_ERRORS, type OrchestratorErrorCode } from '../../apps/orchestrator/src/errors.ts';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { openApiDocument } from '../../apps/orchestrator/src/openapi-document.ts';
import { Api, type Stage, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';
import { type Document, type Garbage, garbageFor, type Operation, operationsOf } from './garbage.ts';

const RUNS = Number(process.env.LMAS_GARBAGE_RUNS ?? 60);
const HANGS_AFTER_MS = 5_000;
const STREAM_WATCH_MS = 20;
const MARKER = `MARKER${crypto.randomUUID()}`;
const GROWTH_LIMIT_BYTES = 96 << 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const document = (await openApiDocument()) as unknown as Document;
/** Removing comes last, so that there is something to act upon before. */
const operations = operationsOf(document).sort((a, b) => Number(a.method === 'DELETE') - Number(b.method === 'DELETE'));
const directory = await temporaryDirectory();
const agent = new Agent({ keepAlive: true, maxSockets: 4 });
const resourcesBefore = openResources();
let orchestrator: Orchestrator;
let api: Api;
let stage: Stage;
let known: string[];
let heapBefore = 0;

before(async () => {
  orchestrator = await startInProcess(directory.path, { LMAS_WEBHOOK_ALLOW: '127.0.0.1/32' });
  api = await Api.of(orchestrator);
  stage = await setStage(() => api, directory.path);
  await api.must('POST', '/v1/credentials', { id: 'marked', kind: 'password', username: 'u', password: MARKER });
  // Nobody listens there: what a webhook would say is refused at once.
  await api.must('POST', '/v1/webhooks', { id: 'hook', url: 'http://127.0.0.1:1/' });
  const { id } = await stage.submit();
  await api.ended(id);
  const key = await api.must<{ id: string }>('POST', '/v1/api-keys', { name: 'spare', role: 'viewer' });
  const migration = { vm: stage.vmId, source: stage.source, destination: stage.destination };
  await api.must('POST', '/v1/schedules', {
    id: 'yearly',
    action: { kind: 'migration', migration },
    trigger: { kind: 'cron', expression: '0 0 1 1 *' },
  });
  const { source, destination } = stage;
  const selector = { kind: 'host', source, destination: { endpoint: destination } };
  await api.must('PUT', '/v1/plans/dr', { waves: [{ vms: [selector] }] });
  const run = await api.must<{ id: string }>('POST', '/v1/plans/dr/runs', { mode: 'validate' });
  const policy = { id: 'hall', endpoints: [source, destination], mode: 'explain', passes: 'asked', measureMs: 200 };
  await api.must('POST', '/v1/balancing-policies', policy);
  const delivery = await api.must<{ id: string }>('POST', '/v1/webhooks/hook/test');
  await api.must('POST', '/v1/projects', { id: 'tenant' });
  known = [
    id,
    key.id,
    delivery.id,
    stage.source,
    stage.destination,
    'marked',
    'hook',
    'tenant',
    'yearly',
    'dr',
    'hall',
    run.id,
  ];
  known.push(`${stage.source}~${stage.destination}`);
  collectGarbage();
  heapBefore = process.memoryUsage().heapUsed;
});
after(async () => {
  agent.destroy();
  await stage[Symbol.asyncDispose]();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

for (const operation of operations) {
  test(`${operation.method} ${operation.path}`, async () => {
    const parameters = { numRuns: RUNS, endOnFailure: false, interruptAfterTimeLimit: 20_000 };
    await fc.assert(
      fc.asyncProperty(garbageFor(withRealNames(operation), known), async (garbage) => {
        if (leavesThisMachine(operation, garbage)) return;
        judge(operation, await send(operation, garbage));
      }),
      parameters,
    );
  });
}

test('the examples of the document are understood', async () => {
  for (const operation of operations) {
    for (const example of operation.examples) {
      const path = operation.path.replaceAll(/\{\w+\}/g, 'marked');
      const garbage = { path, headers: { 'content-type': 'application/json' }, body: JSON.stringify(example) };
      if (leavesThisMachine(operation, garbage) || operation.path.includes('{')) continue;
      const { status, body } = await send(operation, garbage);
      assert.notEqual(status, 400, `${operation.id}: ${body}`);
    }
  }
});

test('a body as deep as it is long is refused, also with an Idempotency-Key, which stands for a digest of it', async () => {
  const nested = JSON.parse(`${'['.repeat(3_000)}${']'.repeat(3_000)}`) as unknown;
  for (const operation of operations.map(withRealNames)) {
    for (const example of operation.examples) {
      const path = operation.path.replaceAll(/\{\w+\}/g, 'marked');
      const body = JSON.stringify({ ...(example as object), options: { nested } });
      for (const more of [{}, { 'idempotency-key': 'deep' }]) {
        const answer = await send(operation, { path, headers: { 'content-type': 'application/json', ...more }, body });
        judge(operation, answer);
        assert.equal(answer.status, 400, operation.id);
      }
    }
  }
});

test('it still works, and has kept nothing', async () => {
  await api.call('PATCH', '/v1/queue', { paused: false });
  await using fresh = await setStage(() => api, directory.path);
  const migration = await fresh.submit();
  assert.equal((await api.ended(migration.id)).phase, 'succeeded');
  collectGarbage();
  const grownBytes = process.memoryUsage().heapUsed - heapBefore;
  assert.ok(grownBytes < GROWTH_LIMIT_BYTES, `the heap has grown by ${grownBytes} bytes`);
});

test('after its end nothing is left open', async () => {
  agent.destroy();
  await stage[Symbol.asyncDispose]();
  await orchestrator.stop();
  for (let tries = 0; tries < 60 && openResources().length > resourcesBefore.length; tries++) await sleep(50);
  assert.deepEqual(openResources(), resourcesBefore);
});

/** With the names of this installation in them, some requests get past the first check, and the second. */
function withRealNames(operation: Operation): Operation {
  const { source, destination, vmId: vm } = stage;
  const real: Record<string, object> = {
    createMigration: { vm, source, destination, options: { durationMs: 10 } },
    checkMigration: { vm, source, destination },
    putPlan: {
      waves: [{ vms: [{ kind: 'vm', vm, source: { endpoint: source }, destination: { endpoint: destination } }] }],
    },
    evacuate: { source: { endpoint: source }, destination: { endpoint: destination } },
    createSchedule: {
      id: 'nightly',
      action: { kind: 'migration', migration: { vm, source, destination } },
      trigger: { kind: 'cron', expression: '* * * * *' },
      windows: [{ kind: 'weekly', days: ['sat'], from: '22:00', to: '04:00' }],
    },
    createWebhook: { id: 'another', url: 'http://127.0.0.1:1/', events: ['migration.succeeded'] },
    updateWebhook: { url: 'http://127.0.0.1:1/hooks', enabled: true },
    testLink: { source, destination, durationMs: 10 },
  };
  const example = real[operation.id];
  return example === undefined ? operation : { ...operation, examples: [...operation.examples, example] };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function send(operation: Operation, { path, headers, body }: Garbage): Promise<Answer> {
  const signal = AbortSignal.timeout(HANGS_AFTER_MS);
  const target = new URL(api.url);
  return await new Promise((resolve, reject) => {
    const call = request(
      {
        ...{ host: target.hostname, port: target.port, agent, signal, path, method: operation.method },
        headers: {
          authorization: `Bearer ${api.key}`,
          ...headers,
          ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
        },
      },
      (response) => {
        const { statusCode: status = 0 } = response;
        if (response.headers['content-type'] === 'text/event-stream') {
          // It goes on for as long as somebody listens; one that breaks does so at once.
          response.on('error', reject).resume();
          const leave = () => {
            response
              .off('error', reject)
              .on('error', () => undefined)
              .destroy();
            resolve({ status, headers: response.headers, body: '' });
          };
          setTimeout(leave, STREAM_WATCH_MS);
          return;
        }
        text(response).then((read) => resolve({ status, headers: response.headers, body: read }), reject);
      },
    );
    call.on('error', (error) => reject(signal.aborted ? new Error(`no answer within ${HANGS_AFTER_MS} ms`) : error));
    call.end(body);
  });
}

function judge({ id, path, method }: Operation, { status, headers, body }: Answer): void {
  assert.ok(!body.includes(MARKER) && !body.includes(api.key), 'an answer holds a secret');
  assert.ok(!/\bat .*\.ts:\d+|node:internal/.test(body), `an answer holds a stack: ${body}`);
  if (status < 400) return;
  assert.equal(headers['content-type'], 'application/problem+json', body);
  const problem = JSON.parse(body) as { code: string; status: number; type: string; title: string };
  assert.equal(problem.status, status);
  assert.match(problem.type, /^urn:lmas:problem:/);
  assert.ok(problem.title.length > 0);
  const isOurs = Object.hasOwn(ORCHESTRATOR_ERRORS, problem.code);
  assert.ok(isOurs || Object.hasOwn(PLUGIN_ERRORS, problem.code), problem.code);
  if (isOurs && !problem.code.startsWith('INVALID_REQUEST')) {
    assert.equal(describeCode(problem.code as OrchestratorErrorCode).httpStatus, status);
  }
  if (status < 500) return;
  // A far end that cannot be had is the far end's fault, and only where the document says that one is asked.
  const documented = document.paths[path]?.[method.toLowerCase()]?.responses ?? {};
  assert.ok((status === 502 || status === 504) && String(status) in documented, `${id}: ${status} ${body}`);
}

/** What would make the orchestrator look names up, or speak to strangers, is not for a test to send. */
function leavesThisMachine({ id }: Operation, { body = '' }: Garbage): boolean {
  try {
    const { host, url } = JSON.parse(body) as { host?: unknown; url?: unknown };
    if (id === 'scanHostKeys') return typeof host === 'string' && /^[A-Za-z0-9:]/.test(host);
    const isWebhook = id === 'createWebhook' || id === 'updateWebhook';
    return isWebhook && typeof url === 'string' && URL.canParse(url) && new URL(url).hostname !== '127.0.0.1';
  } catch {
    return false; // no JSON, no address
  }
}

/** Sockets and the like of this process, sorted. Timers come and go by themselves. */
function openResources(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => /TCP|Pipe|Process|Server/.test(name))
    .sort();
}
