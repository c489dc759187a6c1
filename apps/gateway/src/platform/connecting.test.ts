// Connections that are tuned before they are made, over loopback.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { test } from 'node:test';
import { serve } from '../testing/support.ts';
import { connectTuned } from './connecting.ts';
import { duplicateDescriptor, libc, nativeSockets, tune } from './sockets.ts';

const skip = nativeSockets ? false : 'koffi is missing';
const signal = AbortSignal.timeout(10_000);

/** So many bits the windows that this end tells are shifted (tcpi_rcv_wscale, linux/tcp.h). */
function windowScale(fd: number): number {
  const info = Buffer.alloc(64);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(info.length, 0);
  assert.equal(libc?.getsockopt(fd, 6, 11, info, length), 0);
  return info.readUInt8(6) >> 4;
}

test('the window can become as large as the buffer that was asked for, which a later word does not do', {
  skip: skip || (process.getuid?.() === 0 ? false : 'a buffer beyond the limits of this machine takes root'),
}, async (t) => {
  const port = await serve(
    t,
    net.createServer().on('connection', (socket) => t.after(() => socket.destroy())),
  );
  const tuning = { receiveBufferBytes: 512 << 20 };
  const before = await connectTuned({ address: '127.0.0.1', port }, tuning, { signal });
  const after = await connectTuned({ address: '127.0.0.1', port }, {}, { signal });
  assert.ok(before !== null && after !== null);
  const [first, later] = [duplicateDescriptor(before), duplicateDescriptor(after)];
  assert.ok(first !== null && later !== null);
  tune(later, tuning);
  assert.ok(windowScale(first) > windowScale(later), `${windowScale(first)} and ${windowScale(later)} bits`);
  for (const fd of [first, later]) new net.Socket({ fd }).destroy();
  for (const socket of [before, after]) socket.destroy();
});

test('both directions go over it, and it ends as any other', { skip }, async (t) => {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
  const hasIpv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1'));
  for (const address of hasIpv6 ? ['127.0.0.1', '::1'] : ['127.0.0.1']) {
    const listener = address === '::1' ? net.createServer((socket) => socket.end('six')) : server;
    const port = await new Promise<number>((resolve) => {
      listener.listen(0, address, () => resolve((listener.address() as net.AddressInfo).port));
    });
    t.after(() => listener.close());
    const socket = await connectTuned({ address, port }, {}, { signal });
    assert.ok(socket !== null);
    socket.end('four');
    assert.equal(Buffer.concat(await socket.toArray()).toString(), address === '::1' ? 'six' : 'four');
  }
});

test('a refusal is told as the kernel tells it, and who does not want it any more gets none', { skip }, async (t) => {
  const server = net.createServer();
  const port = await serve(t, server);
  server.close();
  await once(server, 'close');
  await assert.rejects(connectTuned({ address: '127.0.0.1', port }, {}, { signal }), {
    code: 'ECONNREFUSED',
    message: `connect 127.0.0.1:${port} ECONNREFUSED`,
  });
  const reason = new Error('enough');
  await assert.rejects(connectTuned({ address: '127.0.0.1', port }, {}, { signal: AbortSignal.abort(reason) }), reason);
});
