/** How the end of a gateway is noticed, at a real Unix socket that played gateways serve one after the other. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { GatewayIdentity } from '@lmas/gateway-api';
import { SshError } from '@lmas/ssh';
import { ControlClient } from './control-client.ts';
import type { SshPool } from './ssh-pool.ts';

const identity = (digit: string): GatewayIdentity => ({
  ...{ apiVersion: 1, version: '0', protocolVersions: [1], suites: ['aes-256-gcm'], certificate: 'PEM', pid: 1 },
  certificateSha256: digit.repeat(64),
});

async function stageOfEnds(t: TestContext) {
  const directory = await mkdtemp(join(tmpdir(), 'lmas-control-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  const socketPath = join(directory, 'control.sock');
  const connection = {
    closed: new AbortController().signal,
    async forwardUnix() {
      const socket = connect(socketPath);
      await once(socket, 'connect').catch(() => {
        throw new SshError('FORWARD_REFUSED', 'Nobody listens.');
      });
      return socket;
    },
  };
  const pool = { use: (_site: string, _signal: AbortSignal, act: (it: object) => unknown) => act(connection) };
  const address = { site: 'here', owner: 'm_1', end: 'source' } as const;
  const client = new ControlClient(pool as unknown as SshPool, address, { socketPath, barrierName: 'b', token: 1 });
  const end = async (server: Server): Promise<void> => {
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  return {
    end,
    /** One whose certificate has this digit only. */
    async begin(digit: string): Promise<Server> {
      const server = createServer((_, response) => void response.end(JSON.stringify(identity(digit))));
      server.listen(socketPath);
      await once(server, 'listening');
      t.after(() => (server.listening ? end(server) : undefined));
      return server;
    },
    /** Resolves once the client has asked who is there. */
    async watch(server: Server): Promise<{ gone: Promise<void>; isGone: () => boolean }> {
      const answered = once(server, 'request').then(([{ socket }]) => once(socket, 'close'));
      let isGone = false;
      const gone = client.gone({ signal: t.signal }).then(() => {
        isGone = true;
      });
      gone.catch(() => undefined); // the end of a test that failed
      await answered;
      return { gone, isGone: () => isGone };
    },
  };
}

test('one that was replaced at once has ended, although somebody answers at its socket', {
  timeout: 20_000,
}, async (t) => {
  const { begin, end, watch } = await stageOfEnds(t);
  const first = await begin('a');
  const { gone } = await watch(first);
  await end(first);
  await begin('b');
  await gone;
});

test('one that only closes an idle connection has not ended, until nobody answers any more', {
  timeout: 20_000,
}, async (t) => {
  const { begin, end, watch } = await stageOfEnds(t);
  const gateway = await begin('a');
  const { gone, isGone } = await watch(gateway);
  for (let i = 0; i < 3; i++) {
    const again = once(gateway, 'request');
    gateway.closeAllConnections();
    await again;
  }
  assert.equal(isGone(), false);
  await end(gateway);
  await gone;
});
