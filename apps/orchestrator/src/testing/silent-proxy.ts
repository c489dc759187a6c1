/**
 * A path to a server on a Unix socket that can fall silent: connections stay open, and nothing comes through any more.
 * The caller disposes of it.
 */
import { once } from 'node:events';
import { type AddressInfo, createConnection, createServer, type Socket } from 'node:net';

export interface SilentProxy extends AsyncDisposable {
  readonly port: number;
  /** From now on nothing comes through, nor over new connections. */
  fallSilent(): void;
  /** Falls silent towards the server once a client has sent this: that still comes through, and so does its answer. */
  fallSilentAfter(sent: RegExp): void;
  /** Connections over which a client has sent this are silent from now on; the others are not. */
  fallSilentWhere(sent: RegExp): void;
  /** New connections come through again; those that fell silent stay so. */
  speakAgain(): void;
}

export async function startSilentProxy(socketPath: string): Promise<SilentProxy> {
  const sockets = new Set<Socket>();
  const connections = new Set<{ sent: string; isSilent: boolean }>();
  let silence = { isSilent: false, isDeaf: false };
  let last: RegExp | undefined;
  const server = createServer((near) => {
    const mine = silence;
    const own = { sent: '', isSilent: false };
    connections.add(own);
    const far = createConnection(socketPath);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk: Buffer) => {
        if (own.isSilent || mine.isSilent || (from === near && mine.isDeaf)) return;
        to.write(chunk);
        if (from === near) own.sent += chunk.toString('latin1');
        if (from === near && last?.test(chunk.toString('latin1'))) {
          [mine.isDeaf, last] = [true, undefined];
        }
      });
      from.on('error', () => from.destroy());
      from.on('close', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    fallSilent: () => {
      silence.isSilent = true;
    },
    fallSilentAfter: (sent) => {
      last = sent;
    },
    fallSilentWhere: (sent) => {
      for (const connection of connections) connection.isSilent ||= sent.test(connection.sent);
    },
    speakAgain: () => {
      silence = { isSilent: false, isDeaf: false };
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
