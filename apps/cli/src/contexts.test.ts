import assert from 'node:assert/strict';
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { howToStart, openClient, whereFirstKeyIs, whereIs } from './connection.ts';
import { run } from './program.ts';

const PROD = 'https://prod.example.org';
const LAB = 'https://lab.example.org';
let directory = '';
let env: Record<string, string> = {};
const file = () => join(directory, 'lmas/contexts.json');

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lmas-contexts-'));
  env = { XDG_CONFIG_HOME: directory, LMAS_DATA_DIR: '/nonexistent' };
  await writeFile(join(directory, 'prod.key'), 'prod-key\n');
});
afterEach(() => rm(directory, { recursive: true }));

async function lmas(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const ended = { out: '', err: '' };
  const code = await run(args, {
    stdout: { write: (text) => (ended.out += text) },
    stderr: { write: (text) => (ended.err += text) },
    ...{ stdin: process.stdin, env, interrupted: new AbortController().signal },
  });
  return { code, ...ended };
}

async function addBoth(): Promise<void> {
  const first = await lmas('context', 'add', 'prod', '--url', PROD, '--api-key-file', join(directory, 'prod.key'));
  assert.deepEqual([first.code, first.err], [0, `prod is in use: ${PROD}\n`]);
  assert.equal((await lmas('context', 'add', 'lab', '--url', LAB, '--api-key-variable', 'LAB_KEY')).code, 0);
}

/** Which key would be sent where. */
async function sentTo(flags: { url?: string; context?: string; apiKeyFile?: string } = {}) {
  const sent: string[] = [];
  const server = globalThis.fetch;
  globalThis.fetch = async (input, init) => {
    const request = new Request(input, init);
    sent.push(`${request.headers.get('authorization')} ${new URL(request.url).origin}`);
    return Response.json({ items: [] });
  };
  try {
    await (await openClient(flags, env, { warn: () => undefined })).listSites();
    return sent[0];
  } finally {
    globalThis.fetch = server;
  }
}

test('the file is its user’s alone and holds no key', async () => {
  await addBoth();
  assert.equal((await stat(file())).mode & 0o777, 0o600);
  const text = await readFile(file(), 'utf8');
  assert.doesNotMatch(text, /prod-key/);
  assert.match((await lmas('context', 'list')).out, /^\* +prod +https:\/\/prod.example.org/m);
});

test('the one in use says both, where and with which key', async () => {
  await addBoth();
  assert.equal(await sentTo(), `Bearer prod-key ${PROD}`);
  assert.equal((await lmas('context', 'use', 'lab')).code, 0);
  env.LAB_KEY = 'lab-key';
  assert.equal(await sentTo(), `Bearer lab-key ${LAB}`);
  assert.equal(await sentTo({ context: 'prod' }), `Bearer prod-key ${PROD}`);
  env.LMAS_CONTEXT = 'prod';
  assert.equal(await sentTo(), `Bearer prod-key ${PROD}`);
});

test('no orchestrator is shown the key of another', async () => {
  await addBoth();
  env.LMAS_API_KEY = 'from-the-environment';
  assert.equal(await sentTo(), 'Bearer from-the-environment http://127.0.0.1:7070');
  assert.equal(await sentTo({ context: 'prod' }), `Bearer prod-key ${PROD}`);
  assert.equal(await sentTo({ url: LAB }), `Bearer from-the-environment ${LAB}`);
  delete env.LMAS_API_KEY;
  await assert.rejects(sentTo({ url: LAB }), { code: 'NO_API_KEY' });
  await assert.rejects(sentTo({ url: LAB, context: 'prod' }), { code: 'INVALID_VALUE' });
  await assert.rejects(sentTo({ context: 'lab' }), { code: 'NO_API_KEY', message: /LAB_KEY/ });
});

test('a token of an identity provider may be as long as the orchestrator takes it; a longer one is told how much too long it is', async () => {
  const apiKeyFile = join(directory, 'token');
  const token = 'x'.repeat(14_336);
  await writeFile(apiKeyFile, `${token}\n`);
  assert.equal(await sentTo({ url: LAB, apiKeyFile }), `Bearer ${token} ${LAB}`);
  await writeFile(apiKeyFile, `${token}x\n`);
  const tooLong = { code: 'INPUT_UNREADABLE', message: /token: .* too long: 14337 characters, at most 14336/ };
  await assert.rejects(sentTo({ url: LAB, apiKeyFile }), tooLong);
  await writeFile(apiKeyFile, `${token}\n${token}`);
  await assert.rejects(sentTo({ url: LAB, apiKeyFile }), { code: 'INPUT_UNREADABLE', message: /without spaces/ });
});

test('with no key anywhere it says how an orchestrator is started here, from the package or from its sources', async () => {
  await assert.rejects(sentTo(), ({ code, remedy }) => code === 'NO_API_KEY' && remedy.includes(howToStart()));
  assert.equal(howToStart(true), 'systemctl enable --now lmas-orchestrator');
  assert.equal(howToStart(false), 'npx lmas-orchestrator');
  assert.match(whereFirstKeyIs(true, false), /\/var\/lib\/lmas\/api-key, which root can read/);
  assert.deepEqual([whereFirstKeyIs(true, true), whereFirstKeyIs(false, false)], ['', ''], 'it was looked for there');
});

test('a file that others can change is not followed', async () => {
  await addBoth();
  await chmod(file(), 0o666);
  await assert.rejects(whereIs({}, env), { code: 'CONTEXT_INVALID', remedy: /chmod 600/ });
  await chmod(file(), 0o600);
  await writeFile(file(), '{"current": 1}');
  await assert.rejects(whereIs({}, env), { code: 'CONTEXT_INVALID' });
});

test('forgetting the one in use leaves none in use; unknown names are told with those there are', async () => {
  await addBoth();
  const removed = await lmas('context', 'remove', 'prod');
  assert.deepEqual([removed.code, removed.err.includes('From now on http://127.0.0.1:7070 is used')], [0, true]);
  assert.equal(await whereIs({}, env), 'http://127.0.0.1:7070');
  const { code, err } = await lmas('version', '--context', 'prod');
  assert.equal(code, 2);
  assert.match(err, /no context prod[\s\S]*There is: lab/);
  assert.equal((await lmas('context', 'add', 'x', '--url', 'ftp://x', '--api-key-variable', 'X')).code, 2);
  assert.equal((await lmas('context', 'add', 'x', '--url', LAB)).code, 2);
});

test('with --json each of them says what it has done', async () => {
  await addBoth();
  const said = async (...args: string[]) => JSON.parse((await lmas('context', ...args, '--json')).out);
  const ci = { name: 'ci', isCurrent: false, url: LAB, apiKeyVariable: 'CI_KEY' };
  assert.deepEqual(await said('add', 'ci', '--url', LAB, '--api-key-variable', 'CI_KEY'), ci);
  assert.deepEqual(await said('use', 'ci'), { ...ci, isCurrent: true });
  assert.deepEqual(await said('remove', 'ci'), { removed: 'ci' });
});

test('what cannot be made is told, also where the system says of its own directory that it is not there', async () => {
  env.LMAS_CONTEXTS_FILE = '/proc/nowhere/deeper/contexts.json';
  const added = await lmas('context', 'add', 'prod', '--url', PROD, '--api-key-variable', 'KEY');
  assert.equal(added.code, 2);
  assert.match(added.err, /contexts\.json cannot be written.*\(OUTPUT_NOT_WRITTEN\)/);
  env.LMAS_CONTEXTS_FILE = join(directory, 'one/after/the/other.json');
  assert.equal((await lmas('context', 'add', 'prod', '--url', PROD, '--api-key-variable', 'KEY')).code, 0);
  assert.equal((await stat(join(directory, 'one/after'))).mode & 0o777, 0o700);
});

test('of two places of a key neither is ignored', async () => {
  const both = ['--api-key-file', join(directory, 'prod.key'), '--api-key-variable', 'KEY'];
  const { code, err } = await lmas('context', 'add', 'prod', '--url', PROD, ...both);
  assert.equal(code, 2);
  assert.match(err, /Both --api-key-file and --api-key-variable/);
});
