// Both wires over real sockets: a reset goes out whatever the connection was doing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { nativeSockets } from '../platform/sockets.ts';
import { serve } from '../testing/support.ts';
import { DuplexWire, type Wire, wireOf } from './wire.ts';

const kinds: Record<string, (socket: net.Socket) => Wire> = {
  'as it is best here': (socket) => wireOf(socket, {}),
  'by node alone': (socket) => new DuplexWire(socket, 'test'),
};

for (const [name, make] of Object.entries(kinds)) {
  for (const [moment, before] of [
    ['at once', () => undefined],
    ['in the moment of its end', (wire: Wire) => wire.end()],
    ['with much that is not sent', (wire: Wire) => wire.write(Buffer.alloc(30_000_000), () => undefined)],
    [
      'with an end behind much that is not sent',
      (wire: Wire) => {
        wire.write(Buffer.alloc(30_000_000), () => undefined);
        wire.end();
      },
    ],
  ] as const) {
    test(`a wire, ${name}, is reset ${moment}`, { timeout: 5_000 }, async (t) => {
      const server = net.createServer({ pauseOnConnect: true });
      const port = await serve(t, server);
      const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      const [peer] = (await once(server, 'connection')) as [net.Socket];
      t.after(() => peer.destroy());
      const wire = make(client);
      const closed = new Promise<void>((resolve) =>
        wire.start({
          buffer: () => Buffer.alloc(100),
          received: () => true,
          ended: () => undefined,
          closed: () => resolve(),
        }),
      );
      peer.on('error', () => undefined);
      const told = new Promise((resolve) => peer.once('close', resolve));
      before(wire);
      wire.reset();
      await closed;
      peer.resume();
      await told;
    });
  }
}

test('a wire that was reset in the moment of its end gives its buffer no more bytes', {
  timeout: 10_000,
  skip: nativeSockets ? false : 'koffi is missing: node reads into buffers of its own',
}, async (t) => {
  const server = net.createServer({ pauseOnConnect: true });
  const port = await serve(t, server);
  for (let round = 0; round < 40; round += 1) {
    const client = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const [[peer]] = (await Promise.all([once(server, 'connection'), once(client, 'connect')])) as [
      [net.Socket],
      unknown,
    ];
    peer.on('error', () => undefined);
    const wire = wireOf(client, {});
    let isReset = false;
    let late = 0;
    const closed = new Promise<void>((resolve) =>
      wire.start({
        buffer: () => Buffer.alloc(100),
        received: () => {
          if (isReset) late += 1;
          else {
            isReset = true;
            wire.end();
            wire.reset();
          }
          return true;
        },
        ended: () => undefined,
        closed: () => resolve(),
      }),
    );
    peer.write(Buffer.alloc(100_000));
    await closed;
    assert.equal(late, 0, `round ${round}`);
    peer.destroy();
  }
});
