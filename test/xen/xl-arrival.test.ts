/**
 * Who may deliver a guest to a host with plain Xen, and when: one stream at a time, as xl itself takes one; between the addresses of
 * the migration network; the one connection whose ends know the migration's token, whoever else is at the door.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, connect as openSocket, type Socket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { MigrationDriver, MigrationProgress } from '@lmas/plugin-api';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, type XlWorld, xlMissing } from '../compliance/xl-world.ts';
import { holdLock, isAwaited } from '../lab/xl/lock.ts';
import { Play, silent } from './xl-play.ts';

const ANOTHER = { id: '5b1c6b5e-8f0e-4a53-9f0d-4f2f0f3ab002', name: 'another' };
const ignore = { onProgress: silent, onPointOfNoReturn: async () => undefined };
const findingsOf = async (driver: MigrationDriver, { signal }: Play): Promise<string[]> =>
  (await driver.check({ signal })).findings.map(({ code, severity }) => `${code} ${severity}`);

async function addGuest({ source: { host } }: XlWorld): Promise<void> {
  const config = host.domains()[0]?.config ?? assert.fail('there is a guest');
  const c_info = { ...config.c_info, name: ANOTHER.name, uuid: ANOTHER.id };
  const guest = { name: ANOTHER.name, uuid: ANOTHER.id, memoryMib: 8, vcpus: 1, state: 'running' } as const;
  await host.add({ ...guest, config: { ...config, c_info } });
}

describe('who may deliver a guest', { skip: xlMissing(), timeout: 120_000 }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());

  test('a second guest for the same host is told to come later, from when the first is awaited until it is there', async () => {
    await using play = await Play.make(sshd);
    await addGuest(play.world);
    const { destination } = play.world;
    const second = { migrationId: 'm_2', vm: ANOTHER };
    const refused = async (): Promise<void> => {
      const driver = await play.driver(second);
      assert.deepEqual(await findingsOf(driver, play), ['RECEIVES_ANOTHER warning']);
      await assert.rejects(driver.prepare({ signal: play.signal }), { code: 'BUSY', retryable: true });
      assert.deepEqual(readdirSync(destination.config.runDirectory), ['m_1'], 'nothing of the second one was begun');
    };
    destination.host.arm('created', 'hang');
    const driver = await play.driver();
    const prepared = await driver.prepare({ signal: play.signal });
    await refused();
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    const performing = driver.perform(prepared, { memory: { host, port } }, { signal: play.signal, ...ignore });
    await play.stands('destination', 'created');
    await refused();
    destination.host.disarm('created');
    await performing;
    const later = await play.driver(second);
    assert.deepEqual(await findingsOf(later, play), []);
    await later.prepare({ signal: play.signal });
  });

  test('of two that come at once one is told to come later', async () => {
    await using play = await Play.make(sshd);
    await addGuest(play.world);
    const drivers = [await play.driver(), await play.driver({ migrationId: 'm_2', vm: ANOTHER })];
    const outcomes = await Promise.allSettled(drivers.map((driver) => driver.prepare({ signal: play.signal })));
    assert.deepEqual(outcomes.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
    for (const outcome of outcomes) if (outcome.status === 'rejected') assert.equal(outcome.reason.code, 'BUSY');
  });

  test('while somebody else makes a guest there, prepare is refused; a stream that is on its way has its turn after it', async () => {
    await using play = await Play.make(sshd);
    const { source, destination } = play.world;
    await using first = await holdLock(destination.host.lockPath);
    const driver = await play.driver();
    assert.deepEqual(await findingsOf(driver, play), ['RECEIVES_ANOTHER warning']);
    await assert.rejects(driver.prepare({ signal: play.signal }), { code: 'BUSY', retryable: true });
    await first.release();
    const prepared = await driver.prepare({ signal: play.signal });
    await using second = await holdLock(destination.host.lockPath);
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    let sent = 0;
    const onProgress = ({ bytesTransferred }: MigrationProgress): void => {
      sent = bytesTransferred;
    };
    const performing = driver.perform(
      prepared,
      { memory: { host, port } },
      { ...ignore, signal: play.signal, onProgress },
    );
    await play.noted('source', 'sent');
    while (!isAwaited(destination.host.lockPath)) await delay(10, undefined, { signal: play.signal });
    assert.deepEqual(destination.host.domains(), [], 'it waits for the lock');
    assert.deepEqual(
      source.host.domains().map(({ state }) => state),
      ['running'],
      'and its guest runs meanwhile',
    );
    await second.release();
    await performing;
    await driver.confirm(prepared, { signal: play.signal });
    assert.ok(sent > 0);
    play.assertTidyAt('destination');
  });

  test('the source connects from its address in the migration network, and the destination listens at its own alone', async () => {
    await using play = await Play.make(sshd, {}, { source: '127.0.0.2', destination: '127.0.0.3' });
    const driver = await play.driver();
    const prepared = await driver.prepare({ signal: play.signal });
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    assert.deepEqual([host, prepared.sourceAddresses], ['127.0.0.3', ['127.0.0.2']]);
    const beside = openSocket(port, '127.0.0.1');
    await assert.rejects(once(beside, 'connect'), { code: 'ECONNREFUSED' });
    const from: (string | undefined)[] = [];
    await using gateway = createServer((near) => {
      from.push(near.remoteAddress);
      const far = openSocket(port, host);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => undefined);
    }).listen(0, '127.0.0.1');
    await once(gateway, 'listening');
    const route = { host: '127.0.0.1', port: portOf(gateway.address()) };
    await driver.perform(prepared, { memory: route }, { signal: play.signal, ...ignore });
    await driver.confirm(prepared, { signal: play.signal });
    assert.deepEqual(from, ['127.0.0.2']);
    play.assertTidyAt('destination');
  });

  test('strangers who wait at the door hold nobody up: ours is let in before any of them is shown out', async () => {
    await using play = await Play.make(sshd);
    const driver = await play.driver();
    const prepared = await driver.prepare({ signal: play.signal });
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    const accepted = join(play.world.destination.config.runDirectory, 'm_1', 'accepted');
    const shownOutBefore: number[] = [];
    const strangers = await Promise.all(
      [0, 1, 2].map(async (index): Promise<Socket> => {
        const socket = openSocket(port, host).on('error', () => undefined);
        socket.on('close', () => existsSync(accepted) || shownOutBefore.push(index)).resume();
        await once(socket, 'connect');
        if (index > 0) socket.write('x'.repeat(index));
        return socket;
      }),
    );
    await driver.perform(prepared, { memory: { host, port } }, { signal: play.signal, ...ignore });
    await Promise.all(strangers.map((socket) => socket.closed || once(socket, 'close')));
    assert.deepEqual(shownOutBefore, []);
    await driver.confirm(prepared, { signal: play.signal });
    play.assertTidyAt('destination');
  });

  test('somebody else who listens in place of the destination gets no byte of the guest, which runs on at the source', async () => {
    await using play = await Play.make(sshd);
    const driver = await play.driver();
    const prepared = await driver.prepare({ signal: play.signal });
    let heard = 0;
    await using impostor = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .on('data', (chunk) => {
          heard += chunk.length;
          socket.write(Buffer.alloc(32, 'x'));
          socket.write('xl migration receiver ready, send binary domain data.\n');
        });
    }).listen(0, '127.0.0.1');
    await once(impostor, 'listening');
    const route = { host: '127.0.0.1', port: portOf(impostor.address()) };
    await assert.rejects(driver.perform(prepared, { memory: route }, { signal: play.signal, ...ignore }), {
      code: 'STREAM_FAILED',
      message: /not ours/,
    });
    assert.equal(heard, 64, 'a nonce and a proof, and nothing after them');
    play.prepared = prepared;
    assert.equal(await play.recover(), 'source');
    play.assertTidyAt('source');
  });
});

function portOf(address: ReturnType<ReturnType<typeof createServer>['address']>): number {
  return typeof address === 'object' && address !== null ? address.port : assert.fail('it listens');
}
