/** The master key is rotated while everything runs, and while it is killed: every secret opens, before and after. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OrchestratorProcess } from './child.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

interface State {
  readonly source: string;
  readonly current: string;
  readonly keys: readonly { readonly id: string; readonly values: number; readonly known: boolean }[];
  readonly resealed?: number;
}

const stateOf = (api: Api) => api.must<State>('GET', '/v1/master-key');

function assertAllCurrent({ current, keys }: State, values: number): void {
  assert.deepEqual(
    keys.filter((key) => key.values > 0),
    [{ id: current, values, known: true }],
  );
}

test('by the API: a new key in the file, everything under it, and a login that was stored before still works', async () => {
  await using directory = await temporaryDirectory();
  await using orchestrator = new OrchestratorProcess(directory.path);
  await orchestrator.start();
  await using stage = await setStage(() => orchestrator.api, directory.path);
  await orchestrator.api.must('POST', '/v1/webhooks', {
    id: 'hook',
    url: 'https://example.org/',
    events: ['migration.failed'],
  });
  const before = await stateOf(orchestrator.api);
  const rotated = await orchestrator.api.must<State>('POST', '/v1/master-key/rotate');
  assert.notEqual(rotated.current, before.current);
  assert.equal(rotated.resealed, 2);
  assertAllCurrent(rotated, 2);
  await orchestrator.api.must('GET', `/v1/endpoints/${stage.source}/inventory`);
  await orchestrator.end('SIGTERM');
  await orchestrator.start();
  assertAllCurrent(await stateOf(orchestrator.api), 2);
  await orchestrator.api.must('GET', `/v1/endpoints/${stage.source}/inventory`);
});

test('killed in the middle of it: the next start finishes it, and nothing is lost', { timeout: 90_000 }, async () => {
  await using directory = await temporaryDirectory();
  await using orchestrator = new OrchestratorProcess(directory.path);
  await orchestrator.start();
  await using stage = await setStage(() => orchestrator.api, directory.path);
  const extra = 150;
  for (let i = 0; i < extra; i++) {
    const login = { kind: 'password', username: 'u', password: `p${i}` };
    await orchestrator.api.must('POST', '/v1/credentials', { id: `c${i}`, ...login });
  }
  const file = join(directory.path, 'master-key');
  let former = (await stateOf(orchestrator.api)).current;
  for (const delayMs of [0, 5, 15, 30]) {
    const keyFile = await readFile(file, 'utf8');
    let broken: Promise<unknown> = Promise.resolve();
    while ((await readFile(file, 'utf8')) === keyFile) {
      // A lock that a kill left behind lasts for some seconds.
      if ((await Promise.race([broken, sleep(1, 'waiting')])) !== 'waiting') {
        broken = orchestrator.api.call('POST', '/v1/master-key/rotate').catch(() => undefined); // killed under it
      }
    }
    await sleep(delayMs);
    await orchestrator.end('SIGKILL');
    await broken;
    await orchestrator.start();
    const state = await stateOf(orchestrator.api);
    assert.notEqual(state.current, former);
    assertAllCurrent(state, extra + 1);
    await orchestrator.api.must('GET', `/v1/endpoints/${stage.source}/inventory`);
    former = state.current;
  }
});

test('with a key from a command, the source is changed first; then everything follows it', async () => {
  await using directory = await temporaryDirectory();
  const [one, two] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const file = join(directory.path, 'elsewhere');
  await writeFile(file, one);
  const orchestrator = await startInProcess(directory.path, { LMAS_MASTER_KEY_COMMAND: `cat ${file}` });
  const api = await Api.of(orchestrator);
  await api.must('POST', '/v1/credentials', { id: 'c', kind: 'password', username: 'u', password: 'p' });
  const before = await stateOf(api);
  assert.equal(before.source, 'command');
  assert.equal((await api.must<State>('POST', '/v1/master-key/rotate')).resealed, 0);
  await writeFile(file, `${two}\n${one}`);
  const after = await api.must<State>('POST', '/v1/master-key/rotate');
  assert.equal(after.resealed, 1);
  assertAllCurrent(after, 1);
  assert.notEqual(after.current, before.current);
  await orchestrator.stop();
});

test('where the key of what is sealed is gone, no new one is made, until somebody makes one knowingly', async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, 'master-key');
  const first = await startInProcess(directory.path);
  await (await Api.of(first)).must('POST', '/v1/credentials', {
    ...{ id: 'c', kind: 'password', username: 'u', password: 'p' },
  });
  await first.stop();
  const key = await readFile(file, 'utf8');
  await rm(file);
  const startAndStop = async () => await (await startInProcess(directory.path)).stop();
  await assert.rejects(startAndStop(), (error: Error & { code?: string; remedy?: string }) => {
    assert.equal(error.code, 'MASTER_KEY_INVALID');
    assert.match(
      error.message,
      /no master key in .*master-key, but the records hold 1 secrets .* sealed under [0-9a-f]{8}/,
    );
    assert.match(error.remedy ?? '', /Put that key there.*Lost for good\? .*openssl rand -base64 32/);
    return true;
  });
  await assert.rejects(readFile(file), 'none was made');

  await writeFile(file, key, { mode: 0o600 });
  const second = await startInProcess(directory.path);
  assertAllCurrent(await stateOf(await Api.of(second)), 1);
  await second.stop();

  await writeFile(file, randomBytes(32).toString('base64'), { mode: 0o600 });
  const third = await startInProcess(directory.path);
  const { keys } = await stateOf(await Api.of(third));
  assert.deepEqual(keys.map(({ values, known }) => [values, known]).sort(), [
    [0, true],
    [1, false],
  ]);
  await third.stop();
});

test('a master key that is missing is said, and is not in the way of the rest', async () => {
  await using directory = await temporaryDirectory();
  const first = await startInProcess(directory.path, { LMAS_MASTER_KEY: randomBytes(32).toString('base64') });
  await (await Api.of(first)).must('POST', '/v1/credentials', {
    id: 'c',
    kind: 'password',
    username: 'u',
    password: 'p',
  });
  await first.stop();
  const second = await startInProcess(directory.path, { LMAS_MASTER_KEY: randomBytes(32).toString('base64') });
  const { keys, current } = await stateOf(await Api.of(second));
  assert.deepEqual(keys.map(({ values, known }) => [values, known]).sort(), [
    [0, true],
    [1, false],
  ]);
  assert.ok(keys.some(({ id }) => id === current));
  await second.stop();
});
