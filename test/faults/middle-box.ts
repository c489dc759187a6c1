/**
 * A box in the path of the tunnel that treats TCP connections as bad boxes do. A program of its own, run inside the network of a lab's
 * machine: `node middle-box.ts LISTEN_ADDRESS FORWARD_ADDRESS MIN_PORT MAX_PORT`. It says `ready`, then takes commands, a line each, and
 * answers each with `hit`, or with `nothing` where it carries no connection:
 *
 *   reset|lose|flip WHERE        one connection: reset it; pass nothing any more; change one bit of its next bytes
 *   hold WHERE MS                one connection: pass nothing for so long
 *   slow WHERE BYTES_PER_SEC     one connection
 *
 * WHERE is a number from 0 to 1 that picks one of the connections that are there. It ends with its standard input.
 */
import net from 'node:net';
import { createInterface } from 'node:readline';

interface Carried {
  readonly ends: readonly [net.Socket, net.Socket];
  isLost: boolean;
  flips: number;
  heldUntilMs: number;
  bytesPerSec: number;
}

const carried = new Set<Carried>();

function carry(near: net.Socket, far: net.Socket): void {
  const connection: Carried = {
    ends: [near, far],
    isLost: false,
    flips: 0,
    heldUntilMs: 0,
    bytesPerSec: Number.POSITIVE_INFINITY,
  };
  carried.add(connection);
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    from.setNoDelay(true);
    from.on('error', () => undefined); // 'close' follows.
    from.on('data', (bytes: Buffer) => pass(connection, bytes, from, to));
    from.on('close', () => {
      if (connection.isLost) return;
      to.destroy();
      carried.delete(connection);
    });
  }
}

function pass(connection: Carried, bytes: Buffer, from: net.Socket, to: net.Socket): void {
  if (connection.isLost) return;
  if (connection.flips > 0) {
    connection.flips -= 1;
    const place = Math.floor(bytes.length / 3);
    bytes[place] = (bytes[place] ?? 0) ^ 4;
  }
  const waitMs = Math.max(connection.heldUntilMs - performance.now(), (1_000 * bytes.length) / connection.bytesPerSec);
  const flowing = to.write(bytes);
  if (waitMs > 0) {
    from.pause();
    setTimeout(() => from.resume(), waitMs);
  } else if (!flowing) {
    from.pause();
    to.once('drain', () => from.resume());
  }
}

/** @returns whether there was anything to hit */
function obey(line: string): boolean {
  const [verb, where = '0', amount = '0'] = line.split(' ');
  const chosen = [...carried].filter(({ isLost }) => !isLost);
  const connection = chosen[Math.floor(Number(where) * chosen.length)];
  if (connection === undefined) return false;
  if (verb === 'reset') for (const socket of connection.ends) socket.resetAndDestroy();
  else if (verb === 'lose') connection.isLost = true;
  else if (verb === 'flip') connection.flips += 1;
  else if (verb === 'hold') connection.heldUntilMs = performance.now() + Number(amount);
  else if (verb === 'slow') connection.bytesPerSec = Number(amount);
  return true;
}

const [listenAddress, forwardAddress, min, max] = process.argv.slice(2);
for (let port = Number(min); port <= Number(max); port += 1) {
  const server = net.createServer((near) => carry(near, net.connect(port, forwardAddress)));
  await new Promise<void>((resolve) => server.listen(port, listenAddress, resolve));
}
console.log('ready');
const input = createInterface({ input: process.stdin });
input.on('line', (line) => console.log(obey(line) ? 'hit' : 'nothing'));
input.once('close', () => process.exit());
