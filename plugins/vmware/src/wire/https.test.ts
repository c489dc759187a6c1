/** What is answered at a port that is not that of a vCenter. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import plugin from '../plugin.ts';

const STRANGERS: Readonly<Record<string, (socket: Socket) => void>> = {
  'an SSH server': (socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n'),
  'HTTP in the clear': (socket) => socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
};

for (const [who, answer] of Object.entries(STRANGERS)) {
  test(`${who}: the error says that it is no TLS and which setting to look at, in no words of OpenSSL`, async (t) => {
    const server = createServer((socket) => answer(socket.on('error', () => undefined)));
    t.after(() => server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const silent = () => undefined;
    const log = { debug: silent, info: silent, warn: silent, error: silent };
    const credential = { kind: 'password', username: 'lmas', password: 'secret' } as const;
    const config = plugin.configSchema.parse({ host: '127.0.0.1', port });
    const connecting = plugin.connect(config, { log, credential }, { signal: AbortSignal.timeout(10_000) });
    await assert.rejects(connecting, {
      code: 'UNREACHABLE',
      message: `logging in at 127.0.0.1: 127.0.0.1 port ${port} does not speak TLS, so no vCenter answers there`,
      remedy: /`port`.*443/,
    });
  });
}
