/**
 * Who else may come while xl moves a guest: a cancel, strangers at the listener, somebody who tries again, a later run.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { connect as openSocket } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, VM, XlWorld, xlMissing } from '../compliance/xl-world.ts';
import { Play, silent } from './xl-play.ts';

describe('others, while xl moves a guest', { skip: xlMissing(), timeout: 300_000 }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());

  test('a cancel while memory moves leaves it at the source; one after it was given is too late', async () => {
    for (const [point, expected] of [['half-sent', 'source'] as const, ['given', 'destination'] as const]) {
      await using play = await Play.make(sshd);
      const { source } = play.world;
      source.host.arm(point, 'hang');
      const mind = new AbortController();
      const { performing } = await play.begin(mind.signal);
      await play.stands('source', point);
      mind.abort();
      await play.noted('source', 'cancelled');
      source.host.disarm(point);
      const outcome = await performing;
      assert.equal(
        outcome instanceof Error ? (outcome as { code?: string }).code : outcome,
        {
          source: 'ABORTED',
          destination: 'done',
        }[expected],
      );
      assert.equal(await play.recover(), expected);
      play.assertTidyAt(expected);
    }
  });

  test('strangers at the listener get nothing, and keep nobody out', async () => {
    await using play = await Play.make(sshd);
    const driver = await play.driver();
    const prepared = await driver.prepare({ signal: play.signal });
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    const knock = async (words: string): Promise<string> => {
      const socket = openSocket(port, host);
      socket.end(words);
      return text(socket);
    };
    assert.deepEqual([await knock(''), await knock('0'.repeat(64)), await knock('domain is yours')], ['', '', '']);
    const ignore = { onProgress: silent, onPointOfNoReturn: async () => undefined };
    await driver.perform(prepared, { memory: { host, port } }, { signal: play.signal, ...ignore });
    await assert.rejects(knock('x'), { code: 'ECONNREFUSED' });
    await driver.confirm(prepared, { signal: play.signal });
    play.assertTidyAt('destination');
    assert.doesNotMatch(JSON.stringify(prepared), /[0-9a-f]{64}/, 'the token is in no note');
  });

  test('xl is begun once for a migration, whoever tries again', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    source.host.arm('half-sent', 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'half-sent');
    const { source: session } = await play.world.connect();
    const job = { migration: 'm_1', uuid: VM.id, domid: 1, host: '127.0.0.1', port: 1, token: 'x' };
    await assert.rejects(session.dom0.ask('send', job, z.object({}), { signal: play.signal }), /begun before/);
    await session.close();
    source.host.disarm('half-sent');
    assert.equal(await performing, 'done');
  });

  test('a later run ends what an earlier one has open at the hosts', async () => {
    await using world = await XlWorld.make(sshd);
    // Runs are marked by the id in the machine's table of processes, which other tests have marks in.
    const migrationId = `m_${randomUUID()}`;
    const earlier = await world.connect({ migrationId, token: 1 });
    const later = await world.connect({ migrationId, token: 2 });
    for (const { closed } of [earlier.source, earlier.destination]) {
      while (!closed.aborted) await delay(10);
    }
    await later.source.inventory({ signal: AbortSignal.timeout(10_000) });
    await assert.rejects(world.connect({ migrationId, token: 1 }), { code: 'SUPERSEDED' });
    for (const session of [later.source, later.destination]) await session.close();
  });
});
