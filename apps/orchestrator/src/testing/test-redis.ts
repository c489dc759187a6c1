/**
 * A real Redis for one test file, in a directory of its own. It owns the server, the connection and the directory.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { startPrivateRedis } from '../redis/private-server.ts';

export interface TestRedis extends AsyncDisposable {
  readonly redis: Redis;
}

export async function startTestRedis(): Promise<TestRedis> {
  const log = createLog('silent');
  const directory = await mkdtemp(join(tmpdir(), 'lmas-redis-'));
  const server = await startPrivateRedis('redis-server', directory, log);
  const redis = connect(server, log);
  return {
    redis,
    async [Symbol.asyncDispose]() {
      redis.disconnect();
      await server.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
