// What a migration's record says about its tunnel, from what the two gateways say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { GatewayStatus } from '@lmas/gateway-api';
import { createLog } from '../log.ts';
import { mergeStatus, Tunnel, type TunnelEnd } from './tunnel.ts';

const session = {
  sessionId: '00000000-0000-4000-8000-000000000000',
  state: 'established' as const,
  listening: null,
  bytesSent: 0,
  bytesReceived: 0,
  bytesAcknowledged: 0,
  sendBitsPerSec: 0,
  receiveBitsPerSec: 0,
  receivingMs: 0,
  windowBytes: 0,
  inFlightBytes: 0,
  bufferedBytes: 0,
  rttMs: null,
  link: {
    state: 'paced' as const,
    bytesPerSec: 0,
    paceBytesPerSec: null,
    queueMs: 0,
    lossShare: 0,
    compressionRatio: 1,
  },
  rekeys: 0,
  subflowsReplaced: 0,
  refusals: {},
  lastError: null,
};
type Session = NonNullable<GatewayStatus['session']>;
const status = (changes: Partial<Session>) =>
  ({ session: { ...session, ...changes }, subflows: [], streams: [] }) as unknown as GatewayStatus;

test('goodput is what the destination delivered, from its first to its last byte', () => {
  const source = status({ bytesSent: 260_000_000, inFlightBytes: 10_000_000, bytesReceived: 100, receivingMs: 20 });
  const destination = status({ bytesReceived: 250_000_000, receivingMs: 2_000, sendBitsPerSec: 39 });
  const stats = mergeStatus('aes-256-gcm', source, destination);
  assert.deepEqual(
    [stats.bytesDelivered, stats.goodputBitsPerSec, stats.inFlightBytes],
    [250_000_000, 1e9, 10_000_000],
  );
});

test('before the first delivery there is no goodput, and refusals of both ends are added', () => {
  const stats = mergeStatus('none', status({ refusals: { A: 1, B: 2 } }), status({ refusals: { B: 3 } }));
  assert.equal(stats.goodputBitsPerSec, 0);
  assert.deepEqual(stats.refusals, { A: 1, B: 5 });
});

test('what is wrong with the tunnel is said in the words of whichever gateway knows', () => {
  const lost = { code: 'SESSION_LOST', message: 'The peer gateway was away for longer than the grace time.' };
  assert.deepEqual(mergeStatus('none', status({}), status({ state: 'closed', lastError: lost })).trouble, lost);
  assert.equal(mergeStatus('none', status({}), status({})).trouble, null);
});

test('what happens now comes part by part: sending from the source, reordering from the destination', () => {
  const stream = { id: 1, route: 'memory', bytesSent: 5, sendBitsPerSec: 8, queueBytes: 3, idleMs: 2, reorderDepth: 0 };
  const subflow = {
    id: 0,
    state: 'open',
    sendBitsPerSec: 9,
    rttMs: 20,
    congestionWindowBytes: 7,
    queueBytes: 1,
    retransmits: 2,
  };
  const link = { ...session.link, bytesPerSec: 1_000, queueMs: 2.5, lossShare: 0.0125 };
  const source = {
    ...status({ link, windowBytes: 64 }),
    streams: [stream],
    subflows: [subflow],
  } as unknown as GatewayStatus;
  const far = { ...stream, reorderDepth: 4 };
  const destination = { ...status({ bufferedBytes: 6 }), streams: [far] } as unknown as GatewayStatus;
  const { now } = mergeStatus('aes-256-gcm', source, destination);
  assert.deepEqual([now?.linkBitsPerSec, now?.windowBytes, now?.bufferedBytes], [8_000, 64, 6]);
  assert.deepEqual([now?.linkQueueMs, now?.linkLossShare], [2.5, 0.0125]);
  assert.deepEqual(now?.streams, [far]);
  assert.deepEqual(
    now?.subflows.map(({ id, retransmits }) => [id, retransmits]),
    [[0, 2]],
  );
});

test('what was measured and cannot be noted ends neither the process nor the migration', async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const gateway = { gone: () => new Promise(() => undefined), probe: async () => ({}), close: async () => undefined };
  const lease = { [Symbol.asyncDispose]: async () => undefined };
  const site = { hypervisorAddress: '192.0.2.1', moreHypervisorAddresses: [] };
  const end = { gateway, lease, site } as unknown as TunnelEnd;
  const tunnel = new Tunnel({ source: end, destination: end }, 'aes-256-gcm', createLog('silent'));
  const told = Promise.withResolvers<void>();
  tunnel.warmUp(10, async () => {
    told.resolve();
    throw new Error('MISCONF');
  });
  await told.promise;
  await turn(); // unhandled rejections are told before it
  assert.deepEqual(unhandled, []);
  await tunnel.openRoutes({ flows: [], sourceAddresses: [], state: null }, { signal: AbortSignal.timeout(5_000) });
  await tunnel.close();
});
