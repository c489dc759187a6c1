/** The servers of a member. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificateOf } from './certificates.ts';
import { listen } from './wire.ts';

const ADDRESS = `127.${2 + (process.pid % 240)}.250.1`;
const never = () => Promise.reject(new Error('nobody calls'));

test('a member that cannot listen at both ports listens at neither', async () => {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'lmas-wire-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const certificate = certificateOf(directory, 'alpha-1');
  const inTheWay = stack.use(createServer());
  await once(inTheWay.listen({ host: ADDRESS, port: 80 }), 'listening');
  await assert.rejects(listen(ADDRESS, certificate, never), { code: 'EADDRINUSE' });
  await inTheWay[Symbol.asyncDispose]();
  for (const server of await listen(ADDRESS, certificate, never)) stack.use(server);
});
