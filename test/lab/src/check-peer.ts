// One end of the line check (check.ts): `serve ADDRESS` listens on a free port, swallows what comes and sends a count of it back
// each 100 ms; `send ADDRESS PORT WARM_UP_MS FOR_MS` fills the line and says how fast.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';

interface Count {
  ns: bigint;
  bytes: number;
}

const [verb, address = '', port = '', ...rest] = process.argv.slice(2);
if (verb === 'serve') serve();
else await send(Number(rest[0]), Number(rest[1]));

function serve(): void {
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    swallow(socket);
  });
  server.listen(0, address, () => console.log((server.address() as { port: number }).port));
}

function swallow(socket: Socket): void {
  const timer = setInterval(() => socket.write(`${process.hrtime.bigint()} ${socket.bytesRead}\n`), 100);
  socket.on('data', () => undefined);
  socket.on('close', () => clearInterval(timer));
}

/** Sends for warmUpMs + forMs; prints payload bits per second as the other end counted them: the median of the seconds after the warm-up. */
async function send(warmUpMs: number, forMs: number): Promise<void> {
  const socket = connect({ port: Number(port), host: address });
  const counts: Count[] = [];
  const warmMs = performance.now() + warmUpMs;
  socket.on('data', (data) => {
    if (performance.now() < warmMs) return;
    const last = data.toString().trim().split('\n').at(-1)?.split(' ') ?? [];
    counts.push({ ns: BigInt(last[0] ?? 0), bytes: Number(last[1]) });
  });
  try {
    await once(socket, 'connect');
    const block = Buffer.alloc(1 << 20, 'lab');
    const endMs = performance.now() + warmUpMs + forMs;
    while (performance.now() < endMs) if (!socket.write(block)) await once(socket, 'drain');
    console.log(medianSecond(counts));
  } finally {
    socket.destroy();
  }
}

/** The median, because BBR by itself goes quiet for a fifth of a second in every ten to look at the round trip. */
function medianSecond(counts: Count[]): number {
  const rates = counts.flatMap((count) => {
    const later = counts.find((candidate) => candidate.ns - count.ns >= 1_000_000_000n);
    return later ? [((later.bytes - count.bytes) * 8 * 1e9) / Number(later.ns - count.ns)] : [];
  });
  rates.sort((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)] ?? 0;
}
