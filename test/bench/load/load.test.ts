import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { test } from 'node:test';
import { run } from '../../lab/src/command.ts';
import { buildLoad } from './load.ts';

const QUESTION = { requestBytes: 100, answerBytes: 10 };

test('a question without an answer counts, with all the time that it was waited for', async (t) => {
  const answered = 3;
  const server = net.createServer((socket) => {
    let asked = 0;
    socket.on('data', ({ length }) => {
      const before = Math.floor(asked / QUESTION.requestBytes);
      asked += length;
      const now = Math.min(answered, Math.floor(asked / QUESTION.requestBytes));
      if (now > before) socket.write(Buffer.alloc((now - before) * QUESTION.answerBytes));
    });
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const [seconds, periodMs, patienceSeconds] = [0.1, 10, 0.5];
  const { requestBytes, answerBytes } = QUESTION;
  const numbers = [port, seconds, periodMs, requestBytes, answerBytes, patienceSeconds].map(String);
  const { stdout } = await run(await buildLoad(), ['ask', '127.0.0.1', ...numbers]);
  const { tookUs } = JSON.parse(stdout) as { tookUs: number[] };
  assert.equal(tookUs.length, 10, 'all that were asked');
  const waited = tookUs.slice(answered);
  assert.ok(
    tookUs.slice(0, answered).every((us) => us < 400_000),
    String(tookUs),
  );
  assert.ok(
    waited.every((us) => us >= patienceSeconds * 1e6),
    String(tookUs),
  );
});
