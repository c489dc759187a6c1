import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askGuest, verdictOf } from './guest-console.ts';

/** A guest that answers as `reply` says; the request's id is the first word of its second line. */
async function withGuest(
  reply: (id: string, request: string, socket: Socket) => void,
  work: (path: string) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'lab-guest-'));
  const path = join(directory, 'serial');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('data', (data) => {
      const [id = '', ...words] = data.toString().trim().split(' ');
      reply(id, words.join(' '), socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  try {
    await work(path);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  }
}

test('an answer is known by its id, however it comes in pieces, whatever came before it', async () => {
  const reply = (id: string, request: string, socket: Socket) => {
    socket.write(`ready\nq0.0 ok pages=1\n${id} ok pa`);
    setImmediate(() => socket.write(`ges=c800 badPages=2 firstBadPage=1f counter=ab nonce=00ff\r\n${request}`));
  };
  await withGuest(reply, async (path) => {
    const verdict = verdictOf(await askGuest(path, 'verify'));
    assert.deepEqual(
      [verdict.pages, verdict.badPages, verdict.firstBadPage, verdict.counter, verdict.nonce],
      [0xc800, 2, 0x1f, 0xab, '00ff'],
    );
  });
});

test('a refusal, a silence, a closed line and no line at all are told apart from an answer', async () => {
  await withGuest(
    (id, _request, socket) => socket.write(`${id} error unknown verb\n`),
    (path) => assert.rejects(askGuest(path, 'dance'), { code: 'LAB_GUEST_REFUSED' }),
  );
  await withGuest(
    () => undefined,
    (path) => assert.rejects(askGuest(path, 'stat', { timeoutMs: 50 }), { code: 'LAB_GUEST_SILENT' }),
  );
  await withGuest(
    (_id, _request, socket) => socket.destroy(),
    (path) => assert.rejects(askGuest(path, 'stat'), { code: 'LAB_GUEST_SILENT' }),
  );
  await assert.rejects(askGuest('/nonexistent/serial', 'stat'), { code: 'LAB_GUEST_SILENT' });
});
