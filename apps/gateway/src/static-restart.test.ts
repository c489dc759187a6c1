// Static mode outlives either process: after a kill and a new start the next streams pass, whichever end it was.
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';
import { configureStaticPair, startStatic } from './testing/static-gateways.ts';
import { hashServer, serve, sha1 } from './testing/support.ts';

const attemptMs = 1_500;

/** What came back over the route, or an empty text: refused, reset, or nothing within the time. */
function attempt(port: number, bytes: Uint8Array): Promise<string> {
  return new Promise((resolve) => {
    let answer = '';
    let whole = false;
    const socket = net.connect({ port, host: '127.0.0.2', allowHalfOpen: true });
    socket.setTimeout(attemptMs, () => socket.destroy());
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.once('end', () => {
      whole = true;
    });
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(whole ? answer : ''));
    socket.end(bytes);
  });
}

/** Streams pass, after at most `timeoutMs` of finding each other; from the first one on every one must. */
async function streamsPass(port: number, when: string, timeoutMs = 20_000): Promise<void> {
  const bytes = Buffer.alloc(300_000, when);
  const expected = `${sha1(bytes)} ${bytes.length}`;
  const end = performance.now() + timeoutMs;
  let answer = '';
  while (answer === '' && performance.now() < end) {
    answer = await attempt(port, bytes);
    if (answer === '') await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(answer, expected, `the first stream ${when}`);
  for (let count = 0; count < 3; count += 1)
    assert.equal(await attempt(port, bytes), expected, `a later stream ${when}`);
}

test('static mode: either end may be killed and started again', { timeout: 90_000 }, async (t) => {
  const { near, far, entry } = await configureStaticPair(t, await serve(t, hashServer()));
  const end = (child: ChildProcess) =>
    new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGKILL');
    });
  const first = { far: startStatic(t, far), near: startStatic(t, near) };
  await streamsPass(entry, 'at first');
  await end(first.near);
  startStatic(t, near);
  await streamsPass(entry, 'after the accepting end was started again');
  await end(first.far);
  startStatic(t, far);
  await streamsPass(entry, 'after the dialling end was started again');
});
