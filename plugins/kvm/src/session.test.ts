/** A session that many ask at the same time: a daemon that was restarted is connected to once, and who gives up stops nobody else. */
import assert from 'node:assert/strict';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { FakeWorld } from './testing/fake-libvirt/index.ts';

const UUID = '4dea22b3-1d52-d8f3-2516-782e98ab3fa0';
const signal = AbortSignal.timeout(30_000);

test('the daemon was restarted: of many questions one opens the new connection', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  host.addGuest('web', UUID);
  const session = await host.session(signal);
  const connections = () => host.calls.filter((call) => call === 'connectOpen').length;
  assert.equal(connections(), 1);
  host.cutConnections();
  await turn();
  const found = await Promise.all(Array.from({ length: 6 }, () => session.findVm('web', { signal })));
  assert.ok(found.every(({ id }) => id === UUID));
  assert.equal(connections(), 2);
  await session.close();
});

test('whoever gives up while another one connects waits no longer, and takes nothing from it', async () => {
  const host = new FakeWorld().addHost('a', tmpdir());
  host.addGuest('web', UUID);
  const session = await host.session(signal);
  host.cutConnections();
  await turn();
  const first = session.findVm('web', { signal });
  const mind = new AbortController();
  const second = session.findVm('web', { signal: mind.signal });
  mind.abort(new Error('enough'));
  await assert.rejects(second, /enough/);
  assert.equal((await first).id, UUID);
  await session.close();
});
