import assert from 'node:assert/strict';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import { LibvirtFault } from '../errors.ts';
import { RpcConnection } from './connection.ts';
import {
  encodePacket,
  KEEPALIVE,
  keepalivePacket,
  PACKET_TYPE,
  type Packet,
  PacketDecoder,
  PROGRAM,
  remoteError,
  STATUS,
} from './packets.ts';
import { EVENTS, PROCEDURES } from './procedures.ts';
import { encode } from './xdr.ts';

const signal = AbortSignal.timeout(10_000);

/** A daemon that does nothing by itself: the test reads calls and answers them as it likes. */
function setUp(): { rpc: RpcConnection; daemon: Duplex; next: () => Promise<Packet>; pending: () => number } {
  const [near, daemon] = duplexPair();
  const decoder = new PacketDecoder();
  const packets: Packet[] = [];
  let wake: (() => void) | undefined;
  daemon.on('data', (chunk: Buffer) => {
    packets.push(...decoder.push(chunk));
    wake?.();
  });
  const next = async (): Promise<Packet> => {
    for (;;) {
      const packet = packets.shift();
      if (packet !== undefined) return packet;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return { rpc: new RpcConnection(near, 'test'), daemon, next, pending: () => packets.length };
}

const reply = ({ procedure, serial }: Packet, payload: Buffer, status: number = STATUS.ok): Buffer =>
  encodePacket({ program: PROGRAM.remote, procedure, type: PACKET_TYPE.reply, serial, status, payload });

const hostname = (name: string): Buffer => encode(PROCEDURES.connectGetHostname.result, { hostname: name });

test('replies are matched by serial, in whatever order they come', async () => {
  const { rpc, daemon, next } = setUp();
  const calls = [1, 2, 3].map(() => rpc.call('connectGetHostname', undefined, { signal }));
  const packets = [await next(), await next(), await next()];
  for (const packet of packets.toReversed()) daemon.write(reply(packet, hostname(`h${packet.serial}`)));
  const answers = await Promise.all(calls);
  assert.deepEqual(
    answers.map((answer) => answer.hostname),
    packets.map((packet) => `h${packet.serial}`),
  );
  rpc.close();
});

test('an error reply becomes a LibvirtFault with its code', async () => {
  const { rpc, daemon, next } = setUp();
  const call = rpc.call('connectGetHostname', undefined, { signal });
  const nulls = { about: null, str1: null, str2: null, str3: null, network: null };
  const fault = { code: 42, domain: 10, message: 'gone', level: 2, int1: 0, int2: 0, ...nulls };
  daemon.write(reply(await next(), encode(remoteError, fault), STATUS.error));
  await assert.rejects(
    call,
    (error) => error instanceof LibvirtFault && error.number === 42 && error.message === 'gone',
  );
  rpc.close();
});

test('never more than four calls at a time: the fifth waits for a reply', async () => {
  const { rpc, daemon, next, pending } = setUp();
  const calls = Array.from({ length: 6 }, () => rpc.call('connectGetHostname', undefined, { signal }));
  const first = [await next(), await next(), await next(), await next()];
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(pending(), 0);
  const [packet] = first;
  assert.ok(packet !== undefined);
  daemon.write(reply(packet, hostname('x')));
  const fifth = await next();
  for (const waiting of [...first.slice(1), fifth]) daemon.write(reply(waiting, hostname('x')));
  daemon.write(reply(await next(), hostname('x')));
  await Promise.all(calls);
  rpc.close();
});

test('a caller that gives up stops waiting; the late reply harms nobody', async () => {
  const { rpc, daemon, next } = setUp();
  const mind = new AbortController();
  const call = rpc.call('connectGetHostname', undefined, { signal: mind.signal });
  const packet = await next();
  mind.abort();
  await assert.rejects(call, { code: 'ABORTED' });
  daemon.write(reply(packet, hostname('late')));
  const second = rpc.call('connectGetHostname', undefined, { signal });
  daemon.write(reply(await next(), hostname('second')));
  assert.equal((await second).hostname, 'second');
  const hurried = rpc.call('connectGetHostname', undefined, { signal: AbortSignal.timeout(10) });
  await assert.rejects(hurried, { code: 'TIMEOUT' });
  rpc.close();
});

test('callers that give up while they wait for a slot do not keep it from the others', async () => {
  const { rpc, daemon, next } = setUp();
  const [impatient, hasty] = [new AbortController(), new AbortController()];
  const call = (by: AbortSignal) => rpc.call('connectGetHostname', undefined, { signal: by });
  const calls = Array.from({ length: 4 }, () => call(signal));
  const first = [await next(), await next(), await next(), await next()];
  const givenUp = assert.rejects(call(impatient.signal), { code: 'ABORTED' });
  const woken = assert.rejects(call(hasty.signal), { code: 'ABORTED' });
  const patient = call(signal);
  impatient.abort();
  await givenUp;
  rpc.on('lifecycle', () => hasty.abort()); // in the same breath as the reply that wakes it
  const domain = { name: 'g1', uuid: Buffer.alloc(16), id: 1 };
  const payload = encode(EVENTS.lifecycle.body, { callbackId: 1, message: { domain, event: 1, detail: 2 } });
  const event = { program: PROGRAM.remote, type: PACKET_TYPE.message, serial: 0, status: STATUS.ok };
  const [answered, ...others] = first;
  assert.ok(answered !== undefined);
  const news = encodePacket({ ...event, procedure: EVENTS.lifecycle.number, payload });
  daemon.write(Buffer.concat([reply(answered, hostname('x')), news]));
  await woken;
  daemon.write(reply(await next(), hostname('patient')));
  assert.equal((await patient).hostname, 'patient');
  for (const packet of others) daemon.write(reply(packet, hostname('x')));
  await Promise.all(calls);
  rpc.close();
});

for (const [name, end] of [
  ['is destroyed', (daemon: Duplex) => daemon.destroy()],
  ['ends', (daemon: Duplex) => daemon.end()],
  ['speaks nonsense', (daemon: Duplex) => daemon.write(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))],
] as const) {
  test(`a daemon that ${name}: every call fails with CONNECTION_LOST, also later ones`, async () => {
    const { rpc, daemon, next } = setUp();
    const calls = Array.from({ length: 6 }, () => rpc.call('connectGetHostname', undefined, { signal }));
    const lost = Promise.all(calls.map((call) => assert.rejects(call, { code: 'CONNECTION_LOST' })));
    await next();
    end(daemon);
    if (name === 'is destroyed') rpc.close();
    await lost;
    assert.ok(rpc.closed.aborted);
    await assert.rejects(rpc.call('connectGetHostname', undefined, { signal }), { code: 'CONNECTION_LOST' });
  });
}

test('pings are answered, events go to their listeners only', async () => {
  const { rpc, daemon, next } = setUp();
  daemon.write(keepalivePacket(KEEPALIVE.ping));
  const pong = await next();
  assert.deepEqual([pong.program, pong.procedure], [PROGRAM.keepalive, KEEPALIVE.pong]);
  const { promise, resolve } = Promise.withResolvers<number>();
  rpc.on('migrationIteration', ({ iteration }) => resolve(iteration));
  const domain = { name: 'g1', uuid: Buffer.alloc(16), id: 1 };
  const message = { program: PROGRAM.remote, type: PACKET_TYPE.message, serial: 0, status: STATUS.ok };
  const { number, body } = EVENTS.migrationIteration;
  const other = encode(EVENTS.lifecycle.body, { callbackId: 1, message: { domain, event: 1, detail: 2 } });
  daemon.write(encodePacket({ ...message, procedure: EVENTS.lifecycle.number, payload: other }));
  daemon.write(
    encodePacket({ ...message, procedure: number, payload: encode(body, { callbackId: 1, domain, iteration: 5 }) }),
  );
  assert.equal(await promise, 5);
  rpc.close();
});

test('a daemon that falls silent is given up', async (context) => {
  context.mock.timers.enable({ apis: ['setInterval'] });
  const { rpc } = setUp();
  rpc.startKeepalive();
  const call = rpc.call('connectGetHostname', undefined, { signal });
  await new Promise((resolve) => setImmediate(resolve));
  context.mock.timers.tick(25_000);
  await assert.rejects(call, { code: 'CONNECTION_LOST', message: /fell silent/ });
});
