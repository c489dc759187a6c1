/** The connections of the plugin author's guide, and of the plugin that it is modelled on, to a peer that talks nonsense. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import type { EndpointSession, HypervisorPlugin } from '@lmas/plugin-api';
import simulatedPlugin from '@lmas/plugin-simulated';
import tinyPlugin from '../../docs/examples/tiny-plugin/plugin.ts';

const nothing = () => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing };
const signal = AbortSignal.timeout(10_000);

async function connect<Config>(plugin: HypervisorPlugin<Config, never>, socketPath: string): Promise<EndpointSession> {
  const config = plugin.configSchema.parse({ host: 'a', socketPath });
  return await plugin.connect(
    config,
    { log, credential: { kind: 'password', username: '', password: '' } },
    { signal },
  );
}

for (const [name, plugin] of [
  ['tiny', tinyPlugin],
  ['simulated', simulatedPlugin],
] as const) {
  for (const nonsense of ['no JSON', '{"id":"1"}', '[]']) {
    test(`${name}: a peer that says ${nonsense} has hung up, and the process lives on`, async () => {
      const socketPath = join(tmpdir(), `lmas-nonsense-${process.pid}-${name}.sock`);
      const server = createServer((socket) => {
        let answers = 0;
        createInterface({ input: socket }).on('line', (line) => {
          const { id } = JSON.parse(line) as { id: number };
          answers += 1;
          socket.write(answers === 1 ? `${JSON.stringify({ id, result: null })}\n` : `${nonsense}\n`); // the first is the login
        });
      }).listen(socketPath);
      await once(server, 'listening');
      const session = await connect(plugin as HypervisorPlugin<unknown, never>, socketPath);
      try {
        await assert.rejects(session.inventory({ signal }), { code: 'CONNECTION_LOST' });
        assert.equal(session.closed.aborted, true);
      } finally {
        await session.close();
        server.close();
      }
    });
  }
}
