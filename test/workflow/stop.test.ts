/**
 * SIGTERM to the orchestrator as people start it: what is under way is answered, what comes is sent elsewhere, nothing waits for those who
 * only listen, and a second signal ends it at once.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect as connectTo, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveWorld } from '@lmas/plugin-simulated/world';
import { createAdmission } from '../../apps/orchestrator/src/admission/admission.ts';
import { createLog } from '../../apps/orchestrator/src/log.ts';
import { parseRedisUrl } from '../../apps/orchestrator/src/redis/address.ts';
import { connect } from '../../apps/orchestrator/src/redis/connect.ts';
import { identify } from '../../apps/orchestrator/src/redis/processes.ts';
import { PairWorld } from '../simulated/world.ts';
import { Api, freePort, setStage, startInProcess, temporaryDirectory } from './harness.ts';
import { OrchestratorCommand, status } from './orchestrator-command.ts';
import { RedisServers } from './redis-servers.ts';

/** An orchestrator with one endpoint, whose inventory stands still on command. */
async function setUp() {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const world = new PairWorld();
  const socketPath = join(directory.path, 'world.sock');
  stack.use(await serveWorld(world, socketPath, world.answerGatewayCall));
  const port = await freePort();
  const dataDir = join(directory.path, 'o');
  const orchestrator = stack.use(
    new OrchestratorCommand({
      ...{ LMAS_PLUGINS: '@lmas/plugin-simulated', LMAS_DATA_DIR: dataDir, LMAS_PORT: String(port) },
    }),
  );
  await orchestrator.says(/"ready"/);
  const api = new Api(`http://127.0.0.1:${port}`, (await readFile(join(dataDir, 'api-key'), 'utf8')).trim());
  await api.must('POST', '/v1/credentials', { id: 'c', kind: 'password', username: 'u', password: 'p' });
  await api.must('POST', '/v1/sites', { id: 's' });
  const config = { socketPath, host: 'source' };
  await api.must('POST', '/v1/endpoints', { id: 'e', site: 's', plugin: 'simulated', credential: 'c', config });
  /** A call that is under way, and is not answered before it is released. */
  const slowCall = async () => {
    const hold = world.faults.arm('source.inventory', 'hold-before');
    const answer = api.call('POST', '/v1/endpoints/e/test');
    answer.catch(() => undefined); // whoever is cut off looks at it later
    await hold.reached;
    return { answer, release: hold.release };
  };
  const redisPid = Number(await readFile(join(dataDir, 'redis/redis.pid'), 'utf8'));
  const isStopping = async () => (await status(`${api.url}/readyz`)).status === 503;
  const kept = stack.move();
  return { orchestrator, api, port, slowCall, isStopping, redisPid, kept };
}

/** A connection that is kept open, as those of clients are, with what came on it. */
class KeptConnection {
  readonly socket: Socket;
  readonly #ended: Promise<unknown>;
  #text = '';

  constructor(port: number) {
    this.socket = connectTo(port, '127.0.0.1');
    this.socket.setEncoding('utf8').on('data', (text: string) => {
      this.#text += text;
    });
    this.#ended = once(this.socket, 'close');
  }

  async get(path: string, key: string): Promise<string> {
    const before = this.#text;
    this.socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\n\r\n`);
    while (!/\r\n\r\n.*}/s.test(this.#text.slice(before.length))) await once(this.socket, 'data');
    return this.#text.slice(before.length);
  }

  async ended(): Promise<void> {
    await this.#ended;
  }
}

test('a call under way is answered, new ones are refused, streams end at once, and nobody who only listens is waited for', async () => {
  const { orchestrator, api, port, slowCall, isStopping, redisPid, kept } = await setUp();
  await using _ = kept;
  const [idle, used] = [new KeptConnection(port), new KeptConnection(port)];
  for (const each of [idle, used]) assert.match(await each.get('/v1/version', api.key), /^HTTP\/1\.1 200/);
  const headers = { authorization: `Bearer ${api.key}` };
  const events = await fetch(`${api.url}/v1/events`, { headers });
  const slow = await slowCall();

  orchestrator.signal('SIGTERM');
  let heard = '';
  for await (const chunk of events.body ?? []) heard += Buffer.from(chunk).toString();
  assert.match(heard, /^: connected\n\nid: \d+-\d+\n\n$/, 'it ended in order, and said where to go on');
  await orchestrator.until(isStopping);
  assert.match((await status(`${api.url}/readyz`)).body, /"name":"process","ok":false,"detail":"[^"]*going down/);
  assert.equal((await status(`${api.url}/healthz`)).status, 200);
  assert.equal((await fetch(`${api.url}/metrics`, { headers })).status, 200);
  for (const path of ['/v1/migrations', '/v1/events', '/ui/', '/docs', '/nowhere']) {
    const refused = await fetch(api.url + path, { headers });
    const { code, detail } = (await refused.json()) as { code: string; detail: string };
    assert.deepEqual([refused.status, code, refused.headers.get('retry-after')], [503, 'UNAVAILABLE', '5'], path);
    assert.match(detail, /going down.*Try again/);
    assert.equal(refused.headers.get('connection'), 'close');
  }
  const last = await used.get('/v1/version', api.key);
  assert.match(last, /^HTTP\/1\.1 503[\s\S]*^connection: close/im);
  await used.ended();
  assert.equal(orchestrator.hasExited, false);

  const released = performance.now();
  slow.release();
  const { status: code, body, headers: answered } = await slow.answer;
  assert.deepEqual([code, body.ok, answered.get('connection')], [200, true, 'close'], JSON.stringify(body));
  assert.equal(await orchestrator.exit(), 0);
  await idle.ended();
  const ms = performance.now() - released;
  assert.ok(ms < 4_000, `${ms} ms`);
  assert.equal(await identify(redisPid), undefined);
  const complaints = orchestrator.lines.filter((line) => /"level":[56]0|in order|in time/.test(line));
  assert.deepEqual(complaints, []);
});

test('a call that takes too long is cut off, and the end waits for nothing else', async () => {
  const { orchestrator, slowCall, kept } = await setUp();
  await using _ = kept;
  const { answer } = await slowCall();
  const { code, ms } = await orchestrator.terminate();
  assert.equal(code, 0);
  assert.ok(ms >= 5_000 && ms < 12_000, `${ms} ms`);
  await assert.rejects(answer, TypeError);
});

test('the second signal ends it at once, an echo of the first one does not; its Redis is not left behind', async () => {
  const { orchestrator, slowCall, isStopping, redisPid, kept } = await setUp();
  await using _ = kept;
  await slowCall();
  const began = performance.now();
  orchestrator.signal('SIGTERM');
  orchestrator.signal('SIGINT');
  await orchestrator.until(isStopping);
  while (!orchestrator.hasExited) {
    orchestrator.signal('SIGINT');
    await sleep(50);
  }
  const ms = performance.now() - began;
  assert.equal(await orchestrator.exit(), 130);
  assert.ok(ms >= 500 && ms < 4_000, `${ms} ms`);
  await orchestrator.until(async () => (await identify(redisPid)) === undefined);
});

test('one whose guest stands still between its hosts comes to its end first, without any grace', async () => {
  await using directory = await temporaryDirectory();
  const orchestrator = await startInProcess(join(directory.path, 'o'));
  const api = await Api.of(orchestrator);
  await using decided = await setStage(() => api, directory.path);
  await using moving = await setStage(() => api, directory.path);
  const confirming = decided.world.faults.arm('destination.finish', 'hold-before');
  const performing = moving.world.faults.arm('source.perform', 'hold-before');
  const first = await decided.submit();
  const second = await moving.submit();
  await Promise.all([confirming.reached, performing.reached]);
  let isStopped = false;
  const stopped = orchestrator.stop().then(() => {
    isStopped = true;
  });
  await sleep(500);
  assert.equal(isStopped, false, 'it is waited for');
  confirming.release();
  await stopped;
  performing.release();
  assert.deepEqual(decided.world.running(decided.vmId), ['destination']);
  assert.deepEqual(moving.world.running(moving.vmId), ['source'], 'nobody waited for this one');
  const next = await startInProcess(join(directory.path, 'o'));
  await using _ = { [Symbol.asyncDispose]: () => next.stop() };
  const again = await Api.of(next);
  const { phase, runs } = await again.migration(first.id);
  assert.deepEqual([phase, runs], ['succeeded', 1]);
  assert.equal((await again.ended(second.id)).runs, 2);
});

test('while running migrations are given their time, none is admitted that nobody would run', async () => {
  await using directory = await temporaryDirectory();
  await using servers = new RedisServers(directory.path);
  const url = `redis://127.0.0.1:${await servers.start({ 'maxmemory-policy': 'noeviction' })}`;
  const redis = connect(parseRedisUrl(url), createLog('silent'));
  using _redis = { [Symbol.dispose]: () => redis.disconnect() };
  const orchestrator = await startInProcess(join(directory.path, 'o'), {
    ...{ REDIS_URL: url, LMAS_CONCURRENCY: '1', LMAS_SHUTDOWN_GRACE_MS: '60000' },
  });
  const api = await Api.of(orchestrator);
  await using one = await setStage(() => api, directory.path);
  await using other = await setStage(() => api, directory.path);
  const hold = one.world.faults.arm('source.perform', 'hold-before');
  const first = await one.submit();
  await hold.reached;
  const second = await other.submit();
  const stopped = orchestrator.stop();
  hold.release();
  await stopped;
  assert.equal(one.world.running(one.vmId)[0], 'destination', 'it came to its end');
  assert.deepEqual(await createAdmission(redis).notTakenUp(), []);
  const next = await startInProcess(join(directory.path, 'o'), { REDIS_URL: url });
  await using _next = { [Symbol.asyncDispose]: () => next.stop() };
  const again = await Api.of(next);
  assert.equal((await again.migration(first.id)).phase, 'succeeded');
  assert.equal((await again.ended(second.id)).phase, 'succeeded');
});
