/** A cancel that comes while a write is on its way: the move ends, also where the test holds it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { OutgoingMove } from './outgoing-move.ts';

const LOOPBACK = '127.0.0.1';

test('a connection that comes to a hold after the cancel does not wait there', { timeout: 10_000 }, async () => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    socket.write('.'); // what the control connection waits for
  }).listen(0, LOOPBACK);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  const never = () => assert.fail('the guest stays');
  const move = new OutgoingMove(
    {
      id: 'm',
      guest: 'shop',
      flows: [
        {
          ...{ kind: 'vmotion', localAddress: LOOPBACK, stack: 'vmotion', address: LOOPBACK, port },
          ...{ connections: 1, bytes: 64 * 1024 },
        },
      ],
      bytesPerSec: null,
      holds: ['half'],
    },
    {
      connect: () => {
        const socket = OutgoingMove.connect({ host: LOOPBACK, port }, LOOPBACK);
        if (sockets.push(socket) === 2) socket.cork(); // the data: its write lasts until the test lets it go
        return socket;
      },
      giveAway: never,
      takeBack: never,
    },
  );
  const running = move.run();
  while (sockets[1]?.writableNeedDrain !== true) await turn();
  assert.equal(move.cancel(), true);
  sockets[1].uncork();
  await running;
  const { state, heldAt, error } = move.status();
  assert.deepEqual([state, heldAt, error], ['failed', undefined, 'cancelled']);
  server.close();
});

test('a cancel does not wait for a peer that takes nothing more, and never hangs up', {
  timeout: 10_000,
}, async (context) => {
  const heard: Socket[] = [];
  const server = createServer((socket) => {
    heard.push(socket.on('error', () => undefined));
    if (heard.length === 1) socket.resume();
    else socket.pause();
    socket.write('.');
  }).listen(0, LOOPBACK);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  context.after(() => {
    for (const socket of [...heard, ...sockets]) socket.destroy();
    server.close();
  });
  const never = () => assert.fail('the guest stays');
  const flow = { kind: 'vmotion', localAddress: LOOPBACK, stack: 'vmotion', address: LOOPBACK, port } as const;
  const move = new OutgoingMove(
    {
      ...{ id: 'm', guest: 'shop', bytesPerSec: null, holds: [] },
      flows: [{ ...flow, connections: 1, bytes: 256 * 1024 ** 2 }],
    },
    {
      connect: () => {
        const socket = OutgoingMove.connect({ host: LOOPBACK, port }, LOOPBACK);
        sockets.push(socket);
        return socket;
      },
      giveAway: never,
      takeBack: never,
    },
  );
  const running = move.run();
  while (sockets[1]?.writableNeedDrain !== true) await turn();
  assert.equal(move.cancel(), true);
  await running;
  assert.deepEqual([move.status().state, move.status().error], ['failed', 'cancelled']);
});
