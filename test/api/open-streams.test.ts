/** How many streams of events one caller may have open, on a real server. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_STREAMS } from '../../apps/orchestrator/src/http/open-streams.ts';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

async function callerOf(name: string): Promise<string> {
  return (await api.must<{ key: string }>('POST', '/v1/api-keys', { name, role: 'viewer' })).key;
}

function ask(key: string, path = '/v1/events'): ClientRequest {
  const headers = { authorization: `Bearer ${key}` };
  return get(api.url + path, { headers, agent: false }).on('error', () => undefined); // we hang up on it
}

async function open(key: string, path?: string): Promise<IncomingMessage> {
  const [response] = (await once(ask(key, path), 'response')) as [IncomingMessage];
  return response.on('error', () => undefined);
}

async function untilOpened(key: string, path?: string): Promise<IncomingMessage> {
  for (const until = performance.now() + 5_000; ; await sleep(20)) {
    const response = await open(key, path);
    if (response.statusCode === 200 || performance.now() > until) return response;
    response.resume();
  }
}

test('a caller has so many at once, of whatever kind; one more is refused in words, and not to others', async () => {
  await using stage = await setStage(() => api, directory.path);
  const { id } = await stage.submit();
  const [busy, calm] = [await callerOf('busy'), await callerOf('calm')];
  const paths = ['/v1/events', `/v1/migrations/${id}/events`];
  await api.ended(id);
  // What ends by itself counts no more.
  for (let i = 0; i < 3; i++) await text(await open(busy, paths[1]));
  const streams = await Promise.all(Array.from({ length: MAX_STREAMS }, () => open(busy)));
  assert.deepEqual([...new Set(streams.map(({ statusCode }) => statusCode))], [200]);
  for (const path of paths) {
    const refused = await open(busy, path);
    assert.equal(refused.statusCode, 429);
    assert.equal(refused.headers['retry-after'], '10');
    const { code, detail } = JSON.parse(await text(refused)) as { code: string; detail: string };
    assert.equal(code, 'RATE_LIMITED');
    assert.match(detail, /^100 streams of events are open already\. Close some .* GET \/v1\/events\.$/);
  }
  const other = await open(calm);
  assert.equal(other.statusCode, 200);
  other.destroy();
  streams.pop()?.destroy();
  const again = await untilOpened(busy, '/v1/events');
  assert.equal(again.statusCode, 200);
  for (const stream of [...streams, again]) stream.destroy();
});

test('whoever hangs up before the answer has begun is not counted for ever', async () => {
  const hasty = await callerOf('hasty');
  for (let i = 0; i < 3 * MAX_STREAMS; i++) {
    const call = ask(hasty);
    await once(call, 'finish');
    if (i % 3 > 0) await sleep(i % 3); // before, while and after it is looked who calls
    call.destroy();
  }
  const streams: IncomingMessage[] = [];
  for (let i = 0; i < MAX_STREAMS; i++) {
    const stream = await untilOpened(hasty);
    streams.push(stream);
    assert.equal(stream.statusCode, 200, `${i} are open`);
  }
  for (const stream of streams) stream.destroy();
});
