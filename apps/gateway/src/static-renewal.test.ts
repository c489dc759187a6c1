// Static mode begins a session anew that is over: what remains of the one before it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderStatus } from './control/status-text.ts';
import { Gateway } from './gateway.ts';
import { Lease } from './lease.ts';
import { silentLog } from './log.ts';
import { makeIdentity } from './security/certificate.ts';
import { makeRelayedPair, until } from './testing/support.ts';

test('why a session ended is told after it was begun anew', { timeout: 15_000 }, async (t) => {
  const pair = await makeRelayedPair(t, { subflows: 2, graceMs: 1_000 });
  const { near } = pair;
  assert.equal(near.status().previousSession, null);
  pair.relay.cutAll();
  await until(() => near.session?.isClosed === true, 'the grace time is over');
  const before = Date.now();
  await near.renewSession(pair.nearConfig);
  const { session, previousSession } = near.status();
  assert.equal(session?.state, 'connecting');
  assert.ok(previousSession !== null && Math.abs(Date.parse(previousSession.endedAt) - before) < 1_000);
  assert.equal(previousSession.code, 'SESSION_LOST');
  assert.match(previousSession.message, /the control channel and all subflows gone for 1 s; last: [A-Z_]+, /);
  const words = `The session before it ended at ${previousSession.endedAt}. SESSION_LOST: ${previousSession.message}`;
  assert.ok(renderStatus(near.status()).includes(words));

  // One that lives is left alone.
  const living = near.session;
  await near.renewSession(pair.nearConfig);
  assert.equal(near.session, living);
});

test('the log says why in words', async (t) => {
  const said: object[] = [];
  const log = { ...silentLog, info: (message: string, fields?: object) => said.push({ message, ...fields }) };
  const lease = new Lease(null, () => undefined);
  const gateway = new Gateway({ identity: makeIdentity(1), lease, log });
  t.after(() => gateway.shutdown());
  await gateway.configureSession({
    sessionId: '2d0b8c4e-6a55-4c0c-9b0f-1f3c5f0a7d21',
    ...{ protocolVersion: 1, suite: 'aes-256-gcm', peerCertificate: makeIdentity(1).certificatePem },
    role: { kind: 'listen', address: '127.0.0.1', port: 0 },
    ...{ subflows: 1, maxWindowBytes: 1 << 20, bandwidthBytesPerSec: null, graceMs: 1_000 },
  });
  gateway.shutdown();
  const last = { message: 'session', state: 'closed', code: 'SESSION_CLOSED', reason: 'The session was closed.' };
  assert.deepEqual(said.at(-1), last);
});
