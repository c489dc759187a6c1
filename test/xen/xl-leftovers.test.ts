/**
 * What plain Xen leaves when more than the migration broke: hosts that rebooted, connections that died without a word, copies that nobody
 * took away, answers that never came. Destroyed or resumed is only what is known to be safe.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type MigrationDriver, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, plugin, VM, xlMissing } from '../compliance/xl-world.ts';
import { type End, Play, silent } from './xl-play.ts';

const ignore = { onProgress: silent, onPointOfNoReturn: async () => undefined };
const COPY = `${VM.name}--incoming`;
const namesAt = (play: Play, end: End): string[] =>
  play
    .hostOf(end)
    .host.domains()
    .map(({ name }) => name);

/** A migration whose receiver was killed, and which nobody has taken up again: its copy stands at the destination. */
async function leaveCopy(play: Play): Promise<void> {
  play.hostOf('destination').host.arm('received', 'die');
  const { performing } = await play.begin();
  await performing;
  await play.noted('destination', 'left');
  assert.deepEqual([namesAt(play, 'source'), namesAt(play, 'destination')], [[VM.name], [COPY]]);
}

const findingsOf = async (driver: MigrationDriver, { signal }: Play): Promise<string[]> =>
  (await driver.check({ signal })).findings.map(({ code, severity }) => `${code} ${severity}`);

describe('what is left of a migration with xl', { skip: xlMissing(), timeout: 240_000, concurrency: 2 }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());

  test('a copy that an earlier migration left is reported, and destroyed by the next one once it has the host', async () => {
    await using play = await Play.make(sshd);
    const { signal } = play;
    await leaveCopy(play);
    const { destination: session } = await play.sessions();
    const steps = await Array.fromAsync(session.verify({ signal }));
    assert.deepEqual(
      steps.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name),
      ['half-moved'],
    );
    const driver = await play.driver({ migrationId: 'm_2' });
    assert.deepEqual(await findingsOf(driver, play), ['COPY_LEFT_BEHIND warning']);
    const prepared = await driver.prepare({ signal });
    assert.deepEqual(namesAt(play, 'destination'), []);
    const { host = '', port = 0 } = prepared.flows[0] ?? {};
    await driver.perform(prepared, { memory: { host, port } }, { signal, ...ignore });
    await driver.confirm(prepared, { signal });
    assert.deepEqual([namesAt(play, 'source'), namesAt(play, 'destination')], [[], [VM.name]]);
    assert.equal(play.world.maxRunningCopies(), 1);
    const late = await play.driver();
    assert.equal(
      (await late.abort({ signal })).where,
      'destination',
      'the earlier one, taken up after all, changes nothing',
    );
  });

  test('a copy that is not known to be ours, or whose guest does not run at the source, stays', async () => {
    await using play = await Play.make(sshd);
    const { signal } = play;
    await leaveCopy(play);
    const [domain] = play.hostOf('source').host.domains();
    await play.hostOf('source').host.update(domain?.domid ?? 0, { state: 'paused' });
    const driver = await play.driver({ migrationId: 'm_2' });
    assert.ok((await findingsOf(driver, play)).includes('COPY_THERE blocker'));
    await assert.rejects(driver.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    await play.hostOf('source').host.update(domain?.domid ?? 0, { state: 'running' });
    rmSync(join(play.hostOf('destination').config.runDirectory, 'm_1'), { recursive: true });
    assert.deepEqual(await findingsOf(driver, play), ['COPY_THERE blocker']);
    await assert.rejects(driver.prepare({ signal }), { code: 'NOT_MIGRATABLE' });
    assert.deepEqual(namesAt(play, 'destination'), [COPY]);
  });

  test('a receiver is not released before its copy is gone, and the copy goes once the source says that it runs the guest', async () => {
    await using play = await Play.make(sshd);
    const { signal } = play;
    await leaveCopy(play);
    const { destination } = await play.sessions();
    const silentSource = plugin.unreachable?.(play.hostOf('source').config, new PluginError('UNREACHABLE', 'away'));
    const context = { log: { debug: silent, info: silent, warn: silent, error: silent } };
    const alone = plugin.migration(
      { source: silentSource ?? assert.fail(), destination },
      {
        ...{ migrationId: 'm_1', vm: VM, options: plugin.optionsSchema.parse({}), networkMap: {}, diskMap: {} },
        ...{ convergence: 'balanced', maxDowntimeMs: null, bandwidthBytesPerSec: null, tunnelled: true },
      },
      { ...context, recordIntent: async () => undefined, assertCurrent: async () => undefined },
    );
    const receiver = play.journal.find(({ kind }) => kind === 'receiver') ?? assert.fail();
    await assert.rejects(alone.release(receiver, { signal }), /still there, and never ran/);
    assert.deepEqual(namesAt(play, 'destination'), [COPY]);
    const driver = await play.driver();
    for (const resource of play.journal.toReversed()) await driver.release(resource, { signal });
    play.assertTidyAt('source');
  });

  test('a source that rebooted, and started the guest anew: the receiver ends, and its copy goes', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    source.host.arm('half-sent', 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'half-sent');
    play.gateways.stall();
    await play.crash('source');
    await performing;
    const before = source.host.domains()[0] ?? assert.fail();
    await source.host.remove(before.domid);
    await source.host.add({ ...before, state: 'running' });
    assert.equal(await play.recover(), 'source');
    assert.deepEqual([namesAt(play, 'source'), namesAt(play, 'destination')], [[VM.name], []]);
    assert.equal(play.world.maxRunningCopies(), 1);
  });

  test('a source that rebooted, and has not started it: the copy is all there is, and stays', async () => {
    await using play = await Play.make(sshd);
    const { source, destination } = play.world;
    source.host.arm('all-sent', 'hang');
    const { performing } = await play.begin();
    await play.stands('destination', 'received');
    play.gateways.stall();
    await play.crash('source');
    await performing;
    for (const { domid } of source.host.domains()) await source.host.remove(domid);
    const driver = await play.driver();
    const { where } = await driver.abort({ signal: play.signal });
    assert.equal(where, 'unknown');
    assert.deepEqual(
      destination.host.domains().map(({ name, state }) => [name, state]),
      [[COPY, 'paused']],
    );
  });

  test('connections that died without a word after it was given away: a cancel ends both ends of them, and it runs again', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    source.host.arm('given-name', 'hang');
    const mind = new AbortController();
    const { performing } = await play.begin(mind.signal);
    await play.stands('source', 'given-name');
    play.gateways.stall();
    source.host.disarm('given-name');
    await play.noted('source', 'given');
    mind.abort();
    assert.equal(((await performing) as { code?: string }).code, 'ABORTED');
    assert.equal(await play.recover(), 'source');
    play.assertTidyAt('source');
  });

  test('the same for a run that remembers nothing', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    source.host.arm('given-name', 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'given-name');
    play.gateways.stall();
    source.host.disarm('given-name');
    await play.noted('source', 'given');
    const driver = await play.driver();
    const { where, source: presence } = await driver.abort({ signal: play.signal });
    assert.deepEqual([where, presence], ['source', 'running']);
    await performing;
    for (const resource of play.journal.toReversed()) await driver.release(resource, { signal: play.signal });
    play.assertTidyAt('source');
  });

  test('a destination that is silent: nobody is killed in the middle of a handshake that it may still answer', async () => {
    await using play = await Play.make(sshd);
    const { destination } = play.world;
    destination.host.arm('permitted', 'hang');
    const { performing } = await play.begin();
    await play.stands('destination', 'permitted');
    const driver = await play.driverWithoutDestination({ receiverEndsMs: 100, settleMs: 2_000 });
    const { where, moving } = await driver.abort({ signal: play.signal, pastNoReturn: false });
    assert.deepEqual([where, moving], ['unknown', true]);
    destination.host.disarm('permitted');
    assert.equal(await performing, 'done');
    assert.equal(await play.recover(), 'destination');
    play.assertTidyAt('destination');
  });

  for (const [end, point, name, expected] of [
    ['destination', 'received', 'receive', 'source'],
    ['destination', 'permitted', 'receive', 'destination'],
    ['source', 'half-sent', 'send', 'destination'],
    ['source', 'given', 'relay', 'destination'],
  ] as const) {
    test(`our own process "${name}" is killed when xl is at "${point}": it runs at the ${expected}`, async () => {
      await using play = await Play.make(sshd);
      const { host } = play.hostOf(end);
      host.arm(point, 'hang');
      const { performing } = await play.begin();
      await play.stands(end, point);
      // In the pipe is not yet on the way.
      if (point === 'given') await play.stands('destination', 'permitted');
      await play.kill(end, name);
      host.disarm(point);
      await performing;
      assert.equal(await play.recover(), expected);
      play.assertTidyAt(expected);
    });
  }

  test('a start that was begun and never came is forbidden before anybody decides', async () => {
    await using play = await Play.make(sshd);
    const { signal } = play;
    const driver = await play.driver();
    play.prepared = await driver.prepare({ signal });
    // As a host that stood still in between: xl migrate was ordered, and nobody knows whether it will come.
    const directory = join(play.hostOf('source').config.runDirectory, 'm_1');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'send.begun'), '');
    play.journal.push({ kind: 'sender', end: 'source', id: 'm_1', data: {} });
    const next = await play.driver();
    assert.equal((await next.locate({ signal })).moving, true);
    await next.follow({ signal, onProgress: silent });
    assert.equal((await next.locate({ signal })).moving, false);
    assert.equal(await play.recover(next), 'source');
    play.assertTidyAt('source');
  });

  test('what others do with the guest before anybody looks is theirs: a save at the source, a copy on its way to either host', async () => {
    await using play = await Play.make(sshd);
    const { source, destination } = play.world;
    const { signal } = play;
    source.host.arm('half-sent', 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'half-sent');
    play.gateways.cut();
    source.host.disarm('half-sent');
    await performing;
    await play.noted('destination', 'left');
    const [{ domid, ...guest } = assert.fail()] = source.host.domains();
    const driver = await play.driver();
    for (const name of [VM.name, `${VM.name}--migratedaway`]) {
      await source.host.update(domid, { name, state: 'suspended' }); // as xl save does, and xl migrate to a third host
      const { where, source: presence } = await driver.abort({ signal });
      assert.deepEqual([where, presence], ['unknown', 'paused']);
      assert.deepEqual(namesAt(play, 'source'), [name]);
    }
    await source.host.update(domid, { name: VM.name, state: 'running' });
    const theirs = await destination.host.add({ ...guest, name: COPY, state: 'paused' });
    assert.equal((await driver.abort({ signal })).where, 'source');
    const { dom0 } = (await play.sessions()).destination;
    const job = { migration: 'm_1', uuid: VM.id, domid: theirs + 1 };
    await assert.rejects(dom0.ask('discard', job, z.object({}), { signal }), /no copy that waits/);
    assert.deepEqual(namesAt(play, 'destination'), [COPY]);
    // And when it has arrived there by their hands, and they bring it back.
    await destination.host.update(theirs, { name: VM.name, state: 'running' });
    await source.host.update(domid, { name: COPY, state: 'paused' });
    const { warnings } = await driver.confirm(play.prepared, { signal });
    assert.match(warnings.join(), /--incoming \(incoming\), which no migration/);
    assert.deepEqual(namesAt(play, 'source'), [COPY]);
  });

  test('another xl at work on the guest is told by its process, also where ours was killed and nobody saw how', async () => {
    await using play = await Play.make(sshd);
    const { source } = play.world;
    const { signal } = play;
    source.host.arm('half-sent', 'hang');
    const { performing } = await play.begin();
    await play.stands('source', 'half-sent');
    await play.kill('source', 'send.xl');
    source.host.disarm('half-sent');
    await performing;
    await play.noted('destination', 'left');
    for (const point of ['saving', 'saved'] as const) source.host.arm(point, 'hang');
    const theirs = spawn(source.host.program, ['-v', 'save', VM.name, '/nowhere'], { stdio: 'ignore' });
    const ended = once(theirs, 'exit');
    await play.stands('source', 'saving');
    const next = await play.driver({ migrationId: 'm_2' });
    assert.ok((await findingsOf(next, play)).includes('VM_BUSY blocker'));
    await assert.rejects(next.prepare({ signal }), { code: 'BUSY' });
    const { dom0 } = (await play.sessions()).source;
    const job = { migration: 'm_3', uuid: VM.id, arguments: ['resume', '1'] };
    await assert.rejects(dom0.ask('act', job, z.object({}), { signal }), /somebody else's xl save, process \d+/);
    source.host.disarm('saving');
    await play.stands('source', 'saved');
    const driver = await play.driver();
    const { where, source: presence } = await driver.abort({ signal });
    assert.deepEqual([where, presence], ['unknown', 'paused']);
    source.host.disarm('saved');
    assert.deepEqual(await ended, [0, null]);
    assert.deepEqual(namesAt(play, 'source'), [], 'saved whole, and by nobody resumed');
    assert.equal(play.world.maxRunningCopies(), 1);
  });

  test('a receiver to which nobody came has left no copy: one that stands there is not its own', async () => {
    await using play = await Play.make(sshd);
    const { signal } = play;
    const driver = await play.driver();
    play.prepared = await driver.prepare({ signal });
    await play.kill('destination', 'receive');
    const [{ domid: _, ...guest } = assert.fail()] = play.world.source.host.domains();
    await play.world.destination.host.add({ ...guest, name: COPY, state: 'paused' });
    assert.equal((await driver.abort({ signal })).where, 'source');
    assert.deepEqual(namesAt(play, 'destination'), [COPY]);
  });
});
