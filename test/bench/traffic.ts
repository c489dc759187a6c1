/**
 * The load of the benchmark, one process at each end: `send` fills a TCP connection with incompressible bytes for a set
 * time, `receive` counts what arrives. Run inside the hosts of the lab, like a hypervisor with default settings.
 *
 *   node traffic.ts receive PORT            prints {bytes, firstByteAtMs, lastByteAtMs} when the connection ends
 *   node traffic.ts send HOST PORT SECONDS
 */
import { randomFillSync } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** What QEMU hands to the kernel at once is smaller; larger writes keep this process cheap. */
const CHUNK_BYTES = 1 << 20;

export interface Received {
  readonly bytes: number;
  readonly firstByteAtMs: number;
  readonly lastByteAtMs: number;
}

async function receive(port: number): Promise<void> {
  const server = createServer();
  server.listen(port, '0.0.0.0');
  await once(server, 'listening');
  console.error('listening');
  const [socket] = await once(server, 'connection');
  let bytes = 0;
  let firstByteAtMs = 0;
  let lastByteAtMs = 0;
  socket.on('data', (chunk: Buffer) => {
    lastByteAtMs = performance.now();
    if (bytes === 0) firstByteAtMs = lastByteAtMs;
    bytes += chunk.length;
  });
  await once(socket, 'close');
  server.close();
  console.log(JSON.stringify({ bytes, firstByteAtMs, lastByteAtMs } satisfies Received));
}

async function send(host: string, port: number, seconds: number): Promise<void> {
  const chunk = randomFillSync(Buffer.allocUnsafeSlow(CHUNK_BYTES));
  const socket = connect(port, host);
  await once(socket, 'connect');
  const deadline = performance.now() + seconds * 1_000;
  while (performance.now() < deadline) {
    // A path that swallows nothing any more must not hold the sender past its time.
    if (!socket.write(chunk)) await once(socket, 'drain', { signal: AbortSignal.timeout(seconds * 1_000 + 5_000) });
  }
  socket.end();
  await once(socket, 'close');
}

const [role = '', ...args] = process.argv.slice(2);
if (role === 'receive') await receive(Number(args[0]));
else if (role === 'send') await send(args[0] ?? '', Number(args[1]), Number(args[2]));
else throw new Error('traffic.ts: send or receive');
