import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { test } from 'node:test';
import Fastify from 'fastify';
import { answerBrokenRequest, answerFrameworkError, installProblems } from './problems.ts';

/** Sends raw bytes to a server that refuses what it cannot read, and answers with all that came back. */
async function ask(request: string): Promise<string> {
  const app = Fastify({ frameworkErrors: answerFrameworkError, clientErrorHandler: answerBrokenRequest });
  installProblems(app);
  await app.listen({ host: '127.0.0.1', port: 0 });
  try {
    const socket = connect((app.server.address() as AddressInfo).port, '127.0.0.1');
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.end(request);
    await once(socket, 'close');
    return answer;
  } finally {
    await app.close();
  }
}

const cases: readonly [what: string, request: string, status: number][] = [
  ['an unknown method', 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n', 400],
  ['no HTTP at all', '\x16\x03\x01 hello\r\n\r\n', 400],
  ['endless headers', `GET / HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
  ['an address that cannot be decoded', 'GET /%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n', 400],
];

for (const [what, request, status] of cases) {
  test(`${what} is refused with a problem, too`, async () => {
    const answer = await ask(request);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    assert.match(answer, /content-type: application\/problem\+json/i);
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4));
    assert.equal(body.code, 'INVALID_REQUEST');
    assert.equal(body.status, status);
    assert.equal(/too long: all together at most 16 KiB/.test(body.detail), status === 431, body.detail);
  });
}
