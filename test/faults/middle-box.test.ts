import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { MiddleBox } from './middle-box-process.ts';

const BOX = '127.0.0.2';
const BEHIND = '127.0.0.1';
const LIMITS = { timeout: 20_000 };

/** Two ends that talk to each other through a box, once `connect` was called. */
async function boxed(t: TestContext): Promise<{ box: MiddleBox; connect: () => Promise<[net.Socket, net.Socket]> }> {
  const server = net.createServer().listen(0, BEHIND);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const box = await MiddleBox.start({
    ...{ listenAddress: BOX, forwardAddress: BEHIND },
    ports: { min: port, max: port },
  });
  t.after(async () => {
    await box.end();
    server.close();
  });
  const connect = async (): Promise<[net.Socket, net.Socket]> => {
    const accepted = once(server, 'connection');
    const near = net.connect(port, BOX);
    const [far] = (await accepted) as [net.Socket];
    for (const socket of [near, far]) t.after(() => socket.destroy());
    return [near, far];
  };
  return { box, connect };
}

test('a box hits what it carries, and says so; one that carries nothing says that', LIMITS, async (t) => {
  const { box, connect } = await boxed(t);
  for (const command of ['reset 0.5', 'flip 0.5', 'lose 0.5', 'hold 0.5 10', 'slow 0.5 1000'])
    assert.equal(await box.hits(command), false, `${command} without a connection`);

  const [near, far] = await connect();
  near.write('abc');
  assert.equal(String((await once(far, 'data'))[0]), 'abc');
  assert.equal(await box.hits('flip 0.5'), true);
  near.write('abc');
  assert.equal(String((await once(far, 'data'))[0]), 'afc', 'one bit of what came next');

  const ends = [near, far].map((socket) => once(socket, 'close').catch(({ code }: NodeJS.ErrnoException) => code));
  assert.equal(await box.hits('reset 0.5'), true);
  assert.deepEqual(await Promise.all(ends), ['ECONNRESET', 'ECONNRESET']);
  assert.equal(await box.hits('reset 0.5'), false, 'it is gone');
});

test('what a box has lost it hits no more', LIMITS, async (t) => {
  const { box, connect } = await boxed(t);
  const [near, far] = await connect();
  near.write('abc');
  await once(far, 'data');
  assert.equal(await box.hits('lose 0.5'), true);
  assert.equal(await box.hits('reset 0.5'), false);
});
