// Routes of two whole gateways, with real sockets at both ends: who may connect, who is dialled, and in which order.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { describe, test } from 'node:test';
import { routeConfigSchema } from '@lmas/gateway-api';
import { makeIdentity } from '../security/certificate.ts';
import {
  exchange,
  hashServer,
  makeGateway,
  makePair,
  makeRoute,
  redirected,
  serve,
  until,
} from '../testing/support.ts';
import { resolveAllowed } from './addresses.ts';

describe('routes', () => {
  test('dials come in the order of acceptance, one after the other', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 4 });
    const order: string[] = [];
    const server = net.createServer((socket) => {
      const place = order.push('') - 1;
      socket.on('data', (chunk) => {
        order[place] += String(chunk);
      });
      socket.on('error', () => undefined);
    });
    const route = await makeRoute(pair, await serve(t, server));
    for (let index = 0; index < 16; index += 1) {
      await new Promise<void>((resolve) => {
        const socket = net.connect(route.port, '127.0.0.1', () => {
          socket.write(String(index));
          resolve();
        });
        socket.on('error', () => undefined);
      });
    }
    await until(() => order.length === 16 && order.every((name) => name !== ''), 'all have arrived');
    assert.deepEqual(
      order,
      Array.from({ length: 16 }, (_, index) => String(index)),
    );
  });

  test('a dial that fails resets the hypervisor connection and says why at both ends', {
    timeout: 15_000,
  }, async (t) => {
    const pair = await makePair(t, { subflows: 2 });
    // Of tcpmux: nobody listens there, and unlike a port that was just free nobody else will in this moment.
    const route = await makeRoute(pair, 1);
    const error = await exchange(route.port, Buffer.from('x')).catch((reason: NodeJS.ErrnoException) => reason.code);
    assert.equal(error, 'ECONNRESET');
    await until(() => pair.near.closedStreams.length === 1 && pair.far.closedStreams.length === 1, 'both ends know');
    for (const gateway of [pair.near, pair.far]) {
      assert.equal(gateway.closedStreams[0]?.outcome, 'dial-failed');
      assert.match(gateway.closedStreams[0]?.error ?? '', /ECONNREFUSED/);
    }
  });

  test('a reset of the hypervisor goes through as a reset, both ways', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 2 });
    const far: net.Socket[] = [];
    const server = net.createServer((socket) => far.push(socket));
    const route = await makeRoute(pair, await serve(t, server));
    for (const from of ['source', 'destination'] as const) {
      const near = net.connect(route.port, '127.0.0.1');
      near.write('x');
      await until(() => far.length === 1, 'it is through');
      const [remote] = far.splice(0);
      assert.ok(remote);
      const [breaks, notices] = from === 'source' ? [near, remote] : [remote, near];
      breaks.on('error', () => undefined);
      const code = new Promise((resolve) =>
        notices.once('error', (error: NodeJS.ErrnoException) => resolve(error.code)),
      );
      breaks.resetAndDestroy();
      assert.equal(await code, 'ECONNRESET');
    }
  });

  test('two who ask for the same route at once get the same one; a third, who asks for another, is refused', async (t) => {
    const { near } = await makePair(t, { subflows: 2 });
    const common = { kind: 'listen', address: '127.0.0.1', port: 0, priority: 'bulk' } as const;
    const asked = { ...common, allowFrom: ['127.0.0.1'] };
    const twins = [near.putRoute('r', { ...asked, maxStreams: 4 }), near.putRoute('r', { ...asked, maxStreams: 4 })];
    await assert.rejects(near.putRoute('r', { ...asked, maxStreams: 1 }), { code: 'ROUTE_CONFLICT' });
    const [one, other] = await Promise.all(twins);
    assert.deepEqual(one, other);
    assert.deepEqual(near.routes(), [one]);
  });

  test('an address that may not connect, and more streams than allowed, are reset and counted', {
    timeout: 15_000,
  }, async (t) => {
    const pair = await makePair(t, { subflows: 2 });
    const port = await serve(t, hashServer());
    await pair.far.putRoute('r', {
      kind: 'dial',
      host: '127.0.0.1',
      port,
      allowSpecialAddress: true,
      maxStreams: 4,
      priority: 'bulk',
    });
    const shape = { kind: 'listen', address: '127.0.0.1', port: 0, priority: 'bulk' } as const;
    const closed = redirected(await pair.near.putRoute('r', { ...shape, allowFrom: ['192.0.2.1'], maxStreams: 4 }));
    assert.equal(
      await exchange(closed.port, Buffer.from('x')).catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNRESET',
    );
    assert.equal(pair.near.refusals.ADDRESS_NOT_ALLOWED, 1);
    pair.near.deleteRoute('r');
    const one = redirected(await pair.near.putRoute('r', { ...shape, allowFrom: ['127.0.0.1'], maxStreams: 1 }));
    const holder = net.connect(one.port, '127.0.0.1');
    await until(() => pair.near.session?.data.streams.size === 1, 'one is open');
    assert.equal(
      await exchange(one.port, Buffer.from('x')).catch((error: NodeJS.ErrnoException) => error.code),
      'ECONNRESET',
    );
    assert.equal(pair.near.refusals.TOO_MANY_STREAMS, 1);
    holder.destroy();
  });

  test('an allow list takes networks, of either family, and says which of its words it does not know', async (t) => {
    const isAllowed = await resolveAllowed(['10.1.0.0/24', 'fd01::/64', '192.0.2.1', '::1']);
    for (const address of ['10.1.0.255', 'fd01::7', '192.0.2.1', '::1']) assert.ok(isAllowed(address), address);
    for (const address of ['10.1.1.0', 'fd01:0:0:1::7', '192.0.2.2', '::2', 'fe80::1%lo'])
      assert.ok(!isAllowed(address), address);
    const everybody = await resolveAllowed(['0.0.0.0/0']);
    assert.deepEqual([everybody('198.51.100.1'), everybody('2001:db8::1')], [true, false]);

    const { near } = await makePair(t, { subflows: 2 });
    const common = { kind: 'listen', address: '127.0.0.1', port: 0, priority: 'bulk', maxStreams: 4 } as const;
    const open = redirected(await near.putRoute('open', { ...common, allowFrom: ['127.0.0.0/8'] }));
    const socket = net.connect(open.port, '127.0.0.1');
    socket.on('error', () => undefined);
    t.after(() => socket.destroy());
    await until(() => near.closedStreams.length === 1, 'one from the network is let in; the peer has no such route');
    await assert.rejects(near.putRoute('r', { ...common, allowFrom: ['no.such.invalid'] }), {
      code: 'LISTEN_FAILED',
      message: /allowFrom: no\.such\.invalid does not resolve/,
    });
    await assert.rejects(near.putRoute('r', { ...common, address: 'no.such.invalid', allowFrom: ['127.0.0.1'] }), {
      code: 'LISTEN_FAILED',
      message: /\(no\.such\.invalid does not resolve\)/,
    });
    for (const word of ['999.1.1.1', '10.1.0.0/33', 'fd01::/129', 'host/24']) {
      const { error } = routeConfigSchema.safeParse({ ...common, port: 7000, allowFrom: ['10.1.0.1', word] });
      assert.deepEqual(
        error?.issues.map(({ path }) => path),
        [['allowFrom', 1]],
        word,
      );
    }
    const scoped = { ...common, port: 7000, allowFrom: ['fe80::1%eth0', 'esx-7.example', '10.1.0.0/24'] };
    assert.ok(routeConfigSchema.safeParse(scoped).success);
  });

  test('a connection that was reset before it was accepted is nobody refused', { timeout: 15_000 }, async (t) => {
    const pair = await makePair(t, { subflows: 2 });
    const route = await makeRoute(pair, await serve(t, hashServer()));
    const program = `const socket = require('net').connect(${route.port}, '127.0.0.1', () => socket.resetAndDestroy())`;
    // This process, and the listener in it, stands still until it is over.
    assert.equal(spawnSync(process.execPath, ['-e', program]).status, 0);
    assert.match(String(await exchange(route.port, Buffer.from('x'))), / 1$/, 'what came after it was served');
    assert.equal(pair.near.refusals.ADDRESS_NOT_ALLOWED, undefined);
  });

  test('special addresses are not dialled unless that was meant', async (t) => {
    const gateway = makeGateway(t, makeIdentity(1));
    const shape = { kind: 'dial', port: 80, allowSpecialAddress: false, maxStreams: 1, priority: 'bulk' } as const;
    for (const host of [
      '127.0.0.1',
      '169.254.169.254',
      '::1',
      'fe80::1',
      '0.0.0.0',
      '224.0.0.1',
      '::ffff:127.0.0.1',
      'localhost',
    ]) {
      await assert.rejects(gateway.putRoute('r', { ...shape, host }), { code: 'ADDRESS_FORBIDDEN' }, host);
    }
    assert.equal(redirected(await gateway.putRoute('r', { ...shape, host: '192.0.2.1' })).port, 80);
  });
});
