// Static mode begins a session anew that is over: what remains of the one before it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderMetrics } from './control/metrics.ts';
import { renderStatus } from './control/status-text.ts';
import { GatewayError } from './errors.ts';
import { Gateway } from './gateway.ts';
import { Lease } from './lease.ts';
import { silentLog } from './log.ts';
import { makeIdentity } from './security/certificate.ts';
import { makePair, makeRelayedPair, until } from './testing/support.ts';

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

test('limits that were set meanwhile hold in the next session, and are told', async (t) => {
  const { near, far, nearConfig } = await makePair(t, { subflows: 2, graceMs: 10_000 });
  assert.deepEqual(near.status().session?.limits, { bandwidthBytesPerSec: null, graceMs: 10_000 });
  assert.doesNotMatch(renderMetrics(near.status()), /limit_bits_per_second/);
  assert.doesNotMatch(renderMetrics(near.status()), /lease_remaining/, 'there is no lease');
  near.setLimits({ bandwidthBytesPerSec: 5_000_000 });
  near.setLimits({ graceMs: null });
  far.session?.close(new GatewayError('SESSION_CLOSED'));
  await until(() => near.session?.isClosed === true, 'the peer has said so');
  await near.renewSession(nearConfig);
  assert.deepEqual(near.status().session?.limits, { bandwidthBytesPerSec: 5_000_000, graceMs: null });
  assert.match(renderStatus(near.status()), /limit out at most 40\.0 Mbit\/s; streams wait for as long as it takes/);
  assert.match(renderMetrics(near.status()), /^lmas_gateway_limit_bits_per_second 40000000$/m);
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
