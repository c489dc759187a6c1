/**
 * The orchestrator as people start it, with a Redis that is not there, comes late, or is killed for good: what is wrong
 * is said in words at once, and SIGTERM always ends it.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, temporaryDirectory } from './harness.ts';

const MAIN = fileURLToPath(new URL('../../apps/orchestrator/src/main.ts', import.meta.url));

class Orchestrator implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<unknown[]>;
  readonly lines: string[] = [];

  constructor(settings: Record<string, string>) {
    const env = { ...process.env, LMAS_PLUGINS: '@lmas/plugin-kvm', LMAS_LOG_LEVEL: 'info', ...settings };
    const child = spawn(process.execPath, [MAIN], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    this.#exited = once(child, 'exit');
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
  }

  async until(condition: () => boolean | Promise<boolean>, limitMs = 20_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    while (!(await condition())) {
      assert.ok(performance.now() < deadline, `not in ${limitMs} ms; it said:\n${this.lines.join('\n')}`);
      await sleep(50);
    }
  }

  says(pattern: RegExp): Promise<void> {
    return this.until(() => this.lines.some((line) => pattern.test(line)));
  }

  /** Exit code, and how long it took. */
  async terminate(): Promise<{ code: unknown; ms: number }> {
    const began = performance.now();
    this.#child.kill('SIGTERM');
    const [code] = await this.#exited;
    return { code, ms: performance.now() - began };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL');
    await this.#exited;
  }
}

const status = (url: string): Promise<{ status: number; body: string }> =>
  fetch(url).then(
    async (response) => ({ status: response.status, body: await response.text() }),
    () => ({ status: 0, body: '' }),
  );

test('a Redis that cannot be reached is told at once, in the log and by /readyz; when it comes, all goes on', async () => {
  await using directory = await temporaryDirectory();
  const [redisPort, port] = [await freePort(), await freePort()];
  await using orchestrator = new Orchestrator({
    REDIS_URL: `redis://:hidden-word@127.0.0.1:${redisPort}`,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(port),
    LMAS_RUN_LEASE: '1000',
  });
  await orchestrator.says(/LMAS_RUN_LEASE is no setting; did you mean LMAS_RUN_LEASE_MS\?/);
  await orchestrator.says(new RegExp(`Redis \\(redis://127.0.0.1:${redisPort}\\) cannot be used: .*ECONNREFUSED`));
  const url = `http://127.0.0.1:${port}`;
  await orchestrator.until(async () => (await status(`${url}/readyz`)).status === 503);
  assert.match((await status(`${url}/readyz`)).body, /"ready":false.*ECONNREFUSED/);
  assert.equal((await status(`${url}/healthz`)).status, 200);
  const refused = await status(`${url}/v1/migrations`);
  assert.deepEqual([refused.status, JSON.parse(refused.body).code], [503, 'UNAVAILABLE']);

  const durable = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--dir', directory.path];
  const where = ['--bind', '127.0.0.1', '--port', String(redisPort), '--requirepass', 'hidden-word'];
  const redis = spawn('redis-server', [...where, ...durable], { stdio: 'ignore' });
  try {
    await orchestrator.until(async () => (await status(`${url}/readyz`)).status === 200);
    assert.equal((await orchestrator.terminate()).code, 0);
    assert.ok(!orchestrator.lines.join().includes('hidden-word'), 'the password is nobody’s to read');
  } finally {
    redis.kill('SIGKILL');
    await once(redis, 'exit');
  }
});

test('SIGTERM ends one that still waits for its Redis', async () => {
  await using directory = await temporaryDirectory();
  await using orchestrator = new Orchestrator({
    REDIS_URL: `redis://127.0.0.1:${await freePort()}`,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(await freePort()),
  });
  await orchestrator.says(/cannot be used/);
  const { code, ms } = await orchestrator.terminate();
  assert.equal(code, 0);
  assert.ok(ms < 5_000, `${ms} ms`);
});

test('SIGTERM ends one whose private Redis was killed for good, and it says what happened', async () => {
  await using directory = await temporaryDirectory();
  const program = join(directory.path, 'redis-server');
  await symlink('/usr/bin/redis-server', program);
  const port = await freePort();
  await using orchestrator = new Orchestrator({
    LMAS_REDIS_SERVER: program,
    LMAS_DATA_DIR: directory.path,
    LMAS_PORT: String(port),
  });
  await orchestrator.says(/"ready"/);
  await rm(program);
  process.kill(Number(await readFile(join(directory.path, 'redis/redis.pid'), 'utf8')), 'SIGKILL');
  await orchestrator.says(/the private Redis does not start/);
  const readiness = await status(`http://127.0.0.1:${port}/readyz`);
  assert.equal(readiness.status, 503);
  const { code, ms } = await orchestrator.terminate();
  assert.equal(code, 0);
  assert.ok(ms < 30_000, `${ms} ms`);
  await orchestrator.says(/Redis does not answer: ending without it/);
});
