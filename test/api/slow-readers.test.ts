/**
 * A reader of events who does not read: what waits for him waits in Redis and nowhere else. He is told how many were cut off there
 * meanwhile, and goes on with the rest; another one, who reads, gets everything. On a real server and a real Redis.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Redis } from 'ioredis';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { keys } from '../../apps/orchestrator/src/redis/keys.ts';
import { EventStreamDecoder } from '../../packages/client/src/event-stream.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from '../workflow/harness.ts';

const POLICY = 'hall';
const KEPT = 1_000;
/** More, in all, than the buffers of a connection hold. */
const EVENTS = 4_000;
const AT_ONCE = 100;
const PADDING = 'x'.repeat(8_192);

const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
let api: Api;
let redis: Redis;

before(async () => {
  orchestrator = await startInProcess(directory.path);
  api = await Api.of(orchestrator);
  redis = new Redis({ path: join(directory.path, 'redis', 'redis.sock') });
});
after(async () => {
  redis.disconnect();
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

async function connect(path: string): Promise<IncomingMessage> {
  const headers = { authorization: `Bearer ${api.key}`, 'last-event-id': '0-0' };
  const [response] = (await once(get(api.url + path, { headers, agent: false }), 'response')) as [IncomingMessage];
  assert.equal(response.statusCode, 200);
  return response;
}

type Heard = { readonly number: number } | { readonly missed: number };
async function* heard(response: IncomingMessage): AsyncGenerator<Heard> {
  const decoder = new EventStreamDecoder();
  for await (const chunk of response) for (const { data } of decoder.push(chunk)) yield JSON.parse(data) as Heard;
}

/** What the balancing would tell of one policy, so many times. */
const tell = (from: number): Promise<unknown> =>
  redis.eval(
    `for i = ARGV[1], ARGV[1] + ARGV[2] - 1 do
      local event = string.format('{"number":%d,"padding":"%s"}', i, ARGV[4])
      redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[3], '*', 'event', event)
    end
    redis.call('PUBLISH', ARGV[5], '')`,
    ...[1, keys.balancingEvents(POLICY), from, AT_ONCE, KEPT, PADDING, keys.balancingChannel(POLICY)],
  );

test('who does not read is told how many he missed, and who reads misses nothing', async () => {
  await using stage = await setStage(() => api, directory.path);
  const endpoints = [stage.source, stage.destination];
  await api.must('POST', '/v1/balancing-policies', { id: POLICY, endpoints, mode: 'explain', passes: 'asked' });
  const path = `/v1/balancing-policies/${POLICY}/events`;
  const [slow, quick] = [await connect(path), await connect(path)];
  const reading = heard(quick);
  for (let from = 0; from < EVENTS; from += AT_ONCE) {
    await tell(from);
    for (let number = from; number < from + AT_ONCE; number += 1) {
      const { value } = await reading.next();
      assert.equal((value as { number: number }).number, number);
    }
  }
  quick.destroy();
  const order: Heard[] = [];
  for await (const event of heard(slow)) {
    order.push(event);
    if ('number' in event && event.number === EVENTS - 1) break;
  }
  slow.destroy();
  const gap = order.findIndex((event) => 'missed' in event);
  assert.ok(gap > 0, 'he had read something before');
  const lost = (order[gap] as { missed: number }).missed;
  const numbers = order.flatMap((event) => ('number' in event ? [event.number] : []));
  assert.equal(order.length, numbers.length + 1, 'one gap');
  assert.ok(lost > 0, `${lost} were missed`);
  assert.equal(numbers.length + lost, EVENTS);
  assert.deepEqual(numbers, Array.from({ length: EVENTS }, (_, number) => number).toSpliced(gap, lost));
});
