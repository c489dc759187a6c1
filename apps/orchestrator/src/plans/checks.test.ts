/** Checks against real sockets and a real sshd; where they may connect to and where not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { startSshd, type TestSshd } from '../../../../packages/ssh/src/testing/sshd.ts';
import { planCheckSchema } from '../schemas/plan.ts';
import { createAddressGuard, parseNetwork } from '../webhooks/address-guard.ts';
import { CHECK_REFUSAL, type CheckTools, runCheck } from './checks.ts';

const signal = AbortSignal.timeout(20_000);
const names: Record<string, string> = { 'inner.example': '10.1.2.3', 'local.example': '127.0.0.1' };
const guard = (allowed: string[]) =>
  createAddressGuard(allowed.map(parseNetwork), async (host) => [names[host] ?? '192.0.2.1'], CHECK_REFUSAL);
let sshd: TestSshd;
before(async () => {
  sshd = await startSshd();
});
after(() => sshd[Symbol.asyncDispose]());

const tools = (allowed: string[]): CheckTools => ({
  guard: guard(allowed),
  credentials: { reveal: async () => ({ kind: 'ssh-key', username: sshd.username, privateKey: sshd.privateKey }) },
  pauseMs: 20,
});
const make = (check: object, allowed = ['127.0.0.0/8']) =>
  runCheck(planCheckSchema.parse({ timeoutMs: 2_000, withinMs: 0, ...check }), tools(allowed), { signal });

test('HTTP: the status counts, and what does not answer yet is asked again', async () => {
  let status = 503;
  const server = createServer((_, response) => void response.writeHead(status).end('x'.repeat(100_000))).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const url = `http://local.example:${(server.address() as AddressInfo).port}/health`;
  assert.match((await make({ kind: 'http', url })).message, /answered with 503 instead of 200/);
  setTimeout(() => {
    status = 200;
  }, 80);
  const result = await make({ kind: 'http', url, withinMs: 5_000 });
  assert.deepEqual([result.passed, result.attempts > 1], [true, true]);
  server.close();
});

test('SSH: the exit code counts; a wrong host key is asked once', async () => {
  const ssh = { kind: 'ssh', host: sshd.host, port: sshd.port, hostKeys: [sshd.hostKeys.ed25519], credential: 'c' };
  assert.equal((await make({ ...ssh, command: ['true'] })).passed, true);
  assert.match((await make({ ...ssh, command: ['sh', '-c', 'exit 3'] })).message, /ended with exit code 3/);
  const other = { ...ssh, hostKeys: [`SHA256:${'A'.repeat(43)}`], withinMs: 10_000 };
  const refused = await make({ ...other, command: ['true'] });
  assert.deepEqual([refused.passed, refused.attempts], [false, 1], 'another attempt would change nothing');
});

test('nothing connects to an address that nobody allowed, however it is named', async () => {
  for (const check of [
    { kind: 'tcp', host: '127.0.0.1', port: 1 },
    { kind: 'tcp', host: 'inner.example', port: 22 },
    { kind: 'tcp', host: '192.0.2.1', port: 22 },
    { kind: 'http', url: 'http://169.254.169.254/latest/meta-data' },
    { kind: 'http', url: 'https://inner.example/' },
    { kind: 'http', url: 'http://[::1]/' },
    { kind: 'ssh', host: '::1', hostKeys: [`SHA256:${'A'.repeat(43)}`], credential: 'c', command: ['true'] },
  ]) {
    const { passed, attempts, message } = await make({ ...check, withinMs: 10_000 }, ['203.0.113.0/24']);
    assert.deepEqual([passed, attempts], [false, 1], JSON.stringify(check));
    assert.match(message, /Nothing is sent there/);
  }
});
