// Who gives way when too many connections wait to be authenticated: a table of its own, and the port of a whole gateway.
import assert from 'node:assert/strict';
import net from 'node:net';
import { describe, test } from 'node:test';
import { makeGateway, makePair, until } from '../testing/support.ts';
import { maxStrangers, Strangers } from './strangers.ts';

/** As far as the table looks at a socket. */
function socketOf(address: string): net.Socket {
  const socket = new net.Socket();
  Object.defineProperty(socket, 'remoteAddress', { value: address });
  return socket;
}

describe('who gives way', () => {
  test('the address that holds most, its silent ones first, its oldest first', () => {
    const strangers = new Strangers();
    const peer = strangers.add(socketOf('192.0.2.1'));
    const flood = Array.from({ length: maxStrangers - 1 }, () => strangers.add(socketOf('192.0.2.2')));
    const [talker, oldest, second] = flood;
    assert.ok(talker !== undefined && oldest !== undefined && second !== undefined);
    talker.spoke = true;
    assert.ok(flood.every((stranger) => !stranger.displaced));
    strangers.add(socketOf('192.0.2.3'));
    assert.ok(oldest.displaced && oldest.socket.destroyed);
    strangers.add(socketOf('192.0.2.2'));
    assert.ok(second.displaced && second.socket.destroyed);
    assert.ok(!talker.displaced && !peer.displaced);
  });

  test('those who have spoken only when nobody of their address is silent; never the newcomer', () => {
    const strangers = new Strangers();
    const all = Array.from({ length: maxStrangers }, () => strangers.add(socketOf('192.0.2.2')));
    for (const stranger of all) stranger.spoke = true;
    const newcomer = strangers.add(socketOf('192.0.2.2'));
    assert.ok(!newcomer.displaced && !newcomer.socket.destroyed);
    assert.deepEqual(
      all.map((stranger) => stranger.displaced),
      all.map((_, place) => place === 0),
    );
  });

  test('addresses of one IPv6 network count as one', () => {
    const strangers = new Strangers();
    const peer = strangers.add(socketOf('2001:db8:0:2::1'));
    const flood = Array.from({ length: maxStrangers - 1 }, (_, place) =>
      strangers.add(socketOf(`2001:db8:0:1:${place}::1`)),
    );
    strangers.add(socketOf('2001:db8:0:3::1'));
    assert.ok(flood[0]?.displaced && !peer.displaced);
  });

  test('whoever has left takes no place', () => {
    const strangers = new Strangers();
    const all = Array.from({ length: maxStrangers }, () => strangers.add(socketOf('192.0.2.2')));
    const [first, second] = all;
    assert.ok(first !== undefined && second !== undefined);
    strangers.delete(first);
    strangers.add(socketOf('192.0.2.2'));
    assert.ok(all.every((stranger) => !stranger.displaced));
  });
});

test('a peer comes in while silent connections keep every place taken', { timeout: 20_000 }, async (t) => {
  const pair = await makePair(t, { subflows: 4 });
  pair.near.shutdown();
  await until(() => pair.far.session?.isClosed === true, 'the far end has heard of it');
  const far = makeGateway(t, pair.farIdentity);
  const near = makeGateway(t, pair.nearIdentity);
  const { listening } = await far.configureSession(pair.farConfig);
  const port = listening?.port ?? 0;
  const sockets = new Set<net.Socket>();
  const knock = () => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    sockets.add(socket);
  };
  for (let count = 0; count < 2 * maxStrangers; count += 1) knock();
  const flood = setInterval(knock, 20);
  t.after(() => {
    clearInterval(flood);
    for (const socket of sockets) socket.destroy();
  });
  await until(() => (far.refusals.TOO_MANY_STRANGERS ?? 0) >= maxStrangers, 'every place is taken, and counted');
  await near.configureSession({ ...pair.nearConfig, role: { kind: 'dial', host: '127.0.0.1', port } });
  // Far less than silent strangers are given: nobody waits for them to leave.
  await until(() => far.session?.data.subflows.length === 4, 'the peer is in', 3_000);
  assert.equal(near.session?.state, 'established');
});
