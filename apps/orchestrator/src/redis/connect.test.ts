/** Connections to a Redis that falls silent while they look open, and to one that is there and refuses; all real. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { type SilentProxy, startSilentProxy } from '../testing/silent-proxy.ts';
import { inOurWords, isRedisAway } from './away.ts';
import { type ConnectionSettings, connect, connectSubscriber } from './connect.ts';
import { startPrivateRedis } from './private-server.ts';

const SILENCE_MS = 300;
const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-connect-'));
const server = await startPrivateRedis('redis-server', directory, log);
const direct = connect(server, log);
after(async () => {
  direct.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Not `once` of Node, for which an error in between is the end. */
const event = (redis: Redis, name: string): Promise<unknown[]> =>
  new Promise((resolve) => redis.once(name, (...args: unknown[]) => resolve(args)));

/** One that nobody listens on now. */
async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  listener.close();
  return port;
}

async function through(
  proxy: SilentProxy,
  patience: ConnectionSettings['patience'],
): Promise<Disposable & { readonly redis: Redis }> {
  const nodes = [{ host: '127.0.0.1', port: proxy.port }] as const;
  const redis = connect({ kind: 'server', nodes, db: 0, tls: false }, log, { silenceMs: SILENCE_MS, patience });
  await event(redis, 'ready');
  return { redis, [Symbol.dispose]: () => redis.disconnect() };
}

test('a patient command that falls into silence is answered over the next connection', async () => {
  await using proxy = await startSilentProxy(server.socketPath);
  using connection = await through(proxy, 'patient');
  proxy.fallSilent();
  const answer = connection.redis.set('patient', 'yes');
  await event(connection.redis, 'close');
  proxy.speakAgain();
  assert.equal(await answer, 'OK');
  assert.equal(await direct.get('patient'), 'yes');
});

test('a brief one fails, and is not carried out later; the connection heals by itself', async () => {
  await using proxy = await startSilentProxy(server.socketPath);
  using connection = await through(proxy, 'brief');
  const { redis } = connection;
  proxy.fallSilent();
  await assert.rejects(
    redis.set('brief', 'yes'),
    (error) => isRedisAway(error) && !/maxRetries/.test(inOurWords(error)),
  );
  await assert.rejects(redis.set('brief', 'yes'), isRedisAway, 'nor is one that comes while there is no connection');
  await event(redis, 'connect'); // which the proxy takes, as a server that stands still does
  await event(redis, 'close');
  const healed = event(redis, 'ready');
  proxy.speakAgain();
  await healed;
  assert.equal(await redis.get('brief'), null);
});

test('silence is noticed where nobody asks anything: a subscriber hears what comes after it', async () => {
  await using proxy = await startSilentProxy(server.socketPath);
  using connection = await through(proxy, 'patient');
  const { redis } = connection;
  await redis.subscribe('news');
  proxy.fallSilent();
  await event(redis, 'close');
  proxy.speakAgain();
  const heard = event(redis, 'message');
  await event(redis, 'ready');
  while ((await direct.publish('news', 'of today')) === 0); // until it has subscribed again
  assert.deepEqual(await heard, ['news', 'of today']);
});

test('the connection on which a cluster’s messages come is made anew when it alone falls silent, or its server leaves', {
  timeout: 20_000,
}, async () => {
  const unixsocket = join(directory, 'cluster.sock');
  await using proxy = await startSilentProxy(unixsocket);
  const settings = {
    ...{ port: await freePort(), 'cluster-port': await freePort(), 'cluster-enabled': 'yes', unixsocket },
    ...{ dir: directory, 'cluster-config-file': 'cluster.conf', save: '', appendonly: 'no' },
    // Everybody who asks the cluster is sent to the proxy.
    ...{ bind: '127.0.0.1', 'cluster-announce-ip': '127.0.0.1', 'cluster-announce-port': proxy.port },
  };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  const own = new Redis({ path: unixsocket });
  own.on('error', () => undefined); // not there yet
  const address = { kind: 'cluster', nodes: [{ host: '127.0.0.1', port: proxy.port }], db: 0, tls: false } as const;
  let stop = (): void => undefined;
  try {
    await own.cluster('ADDSLOTSRANGE', 0, 16_383);
    while (!String(await own.cluster('INFO')).includes('cluster_state:ok')) await sleep(20);
    const cluster = connect(address, log, { silenceMs: SILENCE_MS });
    const subscriber = connectSubscriber(address, cluster, log, { silenceMs: SILENCE_MS });
    stop = () => [cluster, subscriber].forEach((redis) => void redis.disconnect());
    await subscriber.subscribe('news');
    await cluster.set('key', 'value');
    // Its own connection, and then the one over which the cluster knows its server: that looks as if it had left the cluster.
    for (const sent of [/subscribe/i, /value/]) {
      const closed = event(subscriber, 'close');
      proxy.fallSilentWhere(sent);
      await closed;
      const heard = event(subscriber, 'message');
      while ((await own.publish('news', 'of today')) === 0) await sleep(20); // until it has subscribed again
      assert.deepEqual(await heard, ['news', 'of today']);
    }
    assert.equal(await cluster.get('key'), 'value');
  } finally {
    stop();
    own.disconnect();
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test('who subscribes while a connection is being made is subscribed, and the connection stays', {
  timeout: 20_000,
}, async () => {
  const redis = connect(server, log);
  const failures: string[] = [];
  redis.on('error', ({ message }: Error) => failures.push(message));
  redis.on('close', () => failures.push('closed'));
  const ready = event(redis, 'ready');
  try {
    await event(redis, 'connect'); // ioredis has yet to ask INFO, which a subscriber may not
    await Promise.all([redis.subscribe('early'), redis.psubscribe('earl*')]);
    await ready;
    const heard = Promise.all([event(redis, 'message'), event(redis, 'pmessage')]);
    await direct.publish('early', 'news');
    assert.deepEqual(await heard, [
      ['early', 'news'],
      ['earl*', 'early', 'news'],
    ]);
    assert.deepEqual(failures, []);
  } finally {
    redis.disconnect();
  }
});

test('a subscriber that is closed while it subscribes anew, as it does by itself, leaves no rejection behind', async () => {
  let connections = 0;
  const again = Promise.withResolvers<void>();
  const fake = createServer((socket) => {
    connections += 1;
    const isFirst = connections === 1;
    socket.on('data', (chunk) => {
      for (const [, name = ''] of chunk
        .toString()
        .toLowerCase()
        .matchAll(/\*\d+\r\n\$\d+\r\n(\w+)/g)) {
        if (name !== 'subscribe') socket.write(name === 'info' ? '$9\r\nloading:0\r\n' : '+OK\r\n');
        else if (isFirst) socket.write('*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n', () => socket.destroy());
        else again.resolve(); // and no answer
      }
    });
    socket.on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(fake, 'listening');
  const { port } = fake.address() as AddressInfo;
  const address = { kind: 'server', nodes: [{ host: '127.0.0.1', port }], db: 0, tls: false } as const;
  const unowned: unknown[] = [];
  const onUnowned = (reason: unknown) => unowned.push(reason);
  process.on('unhandledRejection', onUnowned);
  try {
    const redis = connectSubscriber(address, direct, log, { silenceMs: 60_000 });
    await redis.subscribe('news');
    await again.promise;
    redis.disconnect();
    await event(redis, 'end');
    await sleep(10);
    assert.deepEqual(unowned, []);
  } finally {
    process.off('unhandledRejection', onUnowned);
    fake.close();
  }
});

test('one that waits for a job is not taken for silent, nor is a Redis while this process itself stands still', async () => {
  await using proxy = await startSilentProxy(server.socketPath);
  using connection = await through(proxy, 'patient');
  const { redis } = connection;
  const waiting = redis.duplicate();
  const closed: string[] = [];
  redis.on('close', () => closed.push('connection'));
  waiting.on('close', () => closed.push('waiting'));
  assert.equal(await waiting.bzpopmin('nothing', (4 * SILENCE_MS) / 1_000), null);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 4 * SILENCE_MS);
  assert.equal(await redis.ping(), 'PONG');
  assert.deepEqual(closed, []);
  waiting.disconnect();
});

test('a Redis that loads its data is no silent one: it is said, and waited for on the same connection', async () => {
  const socket = join(directory, 'large.sock');
  const start = (more: object): ChildProcess => {
    const settings = { port: 0, unixsocket: socket, dir: directory, dbfilename: 'large.rdb', save: '', ...more };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
    return spawn('redis-server', args, { stdio: 'ignore' });
  };
  const KEYS = 2_000;
  const first = start({});
  const writer = new Redis({ path: socket });
  writer.on('error', () => undefined); // not there yet
  await writer.mset(Object.fromEntries(Array.from({ length: KEYS }, (_, i) => [`key-${i}`, 'x'.repeat(500)])));
  await writer.save();
  writer.disconnect();
  first.kill('SIGKILL');
  await once(first, 'exit');

  // Some two seconds of loading, in which it answers every few keys.
  const second = start({ 'key-load-delay': 1_000, 'loading-process-events-interval-bytes': 5_000 });
  // On a busy machine the server itself may get no processor for a while: that is no answer either.
  const redis = connect({ kind: 'socket', socketPath: socket }, log, { silenceMs: 2 * SILENCE_MS });
  const since = { connect: 0, close: 0 };
  const heard: string[] = [];
  redis.on('error', ({ message }: Error) => heard.push(message));
  redis.on('connect', () => Object.assign(since, { close: 0, connect: since.connect + 1 }));
  redis.on('close', () => Object.assign(since, { close: since.close + 1 }));
  try {
    await event(redis, 'ready');
    assert.ok(heard.filter((message) => message === 'it is loading its data').length > 2, heard.join('\n'));
    assert.deepEqual([since.connect, since.close], [1, 0], heard.join('\n'));
    assert.equal(await redis.dbsize(), KEYS);
  } finally {
    redis.disconnect();
    second.kill('SIGKILL');
    await once(second, 'exit');
  }
});

test('a Redis that is there and cannot serve now is told from one that refuses', async () => {
  const socket = join(directory, 'odd.sock');
  const settings = { port: 0, unixsocket: socket, dir: directory, save: '', 'busy-reply-threshold': 50 };
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const odd = spawn('redis-server', args, { stdio: 'ignore' });
  const [redis, other] = [new Redis({ path: socket }), new Redis({ path: socket })];
  for (const connection of [redis, other]) connection.on('error', () => undefined); // not there yet
  const refusal = async (command: () => Promise<unknown>): Promise<unknown> =>
    await command().then(
      () => assert.fail('it was done'),
      (error: unknown) => error,
    );
  try {
    const mistakes = [() => redis.call('NO-SUCH-COMMAND'), () => redis.eval('return redis.call("HGET", "k")', 0)];
    for (const mistake of mistakes) assert.ok(!isRedisAway(await refusal(mistake)));
    const states: [set: [string, string][], undo: [string, string][]][] = [
      [[['maxmemory', '1']], [['maxmemory', '0']]],
      [[['min-replicas-to-write', '1']], [['min-replicas-to-write', '0']]],
    ];
    for (const [set, undo] of states) {
      for (const [name, value] of set) await redis.config('SET', name, value);
      const error = await refusal(() => redis.set('k', 'v'));
      assert.ok(isRedisAway(error), String(error));
      for (const [name, value] of undo) await redis.config('SET', name, value);
    }
    const endless = redis.eval('while true do end', 0).catch((error: unknown) => error);
    for (let error: unknown; !isRedisAway(error); ) error = await other.get('k').catch((reason: unknown) => reason);
    await other.script('KILL');
    await endless;
    await redis.config('SET', 'replica-serve-stale-data', 'no');
    await redis.replicaof('127.0.0.1', 1);
    const [stale, written] = [await refusal(() => redis.get('k')), await refusal(() => redis.set('k', 'v'))];
    assert.ok(isRedisAway(stale) && isRedisAway(written), `${stale}, ${written}`);
  } finally {
    redis.disconnect();
    other.disconnect();
    odd.kill('SIGKILL');
    await once(odd, 'exit');
  }
});

test('what is asked in one turn goes out in one write, and is answered in its order', async () => {
  const redis = connect(server, log);
  await event(redis, 'ready');
  const socket = redis.stream;
  let writes = 0;
  for (const name of ['_write', '_writev'] as const) {
    const write = socket[name]?.bind(socket) as (...args: unknown[]) => void;
    Object.assign(socket, {
      [name]: (...args: unknown[]) => {
        writes += 1;
        write(...args);
      },
    });
  }
  const order: number[] = [];
  const ask = (n: number) => redis.echo(String(n)).then((answer) => order.push(Number(answer)));
  await Promise.all([1, 2, 3, 4].map(ask));
  assert.equal(writes, 1);
  await ask(5);
  assert.equal(writes, 2);
  assert.deepEqual(order, [1, 2, 3, 4, 5]);
  redis.disconnect();
});
