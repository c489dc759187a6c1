import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Migration, newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { linkTraffic } from './link-traffic.ts';

interface Seen {
  readonly sendBitsPerSec: number;
  readonly linkBitsPerSec: number | null;
  readonly linkQueueMs: number | null;
  readonly linkLossShare: number | null;
  /** Of each subflow. */
  readonly queues: readonly (number | null)[];
}

const NOTHING: Seen = {
  ...{ sendBitsPerSec: 1, linkBitsPerSec: null, linkQueueMs: null, linkLossShare: null },
  queues: [],
};

function moving(from: string, to: string, rttMs: number | null, seen: Seen | null): Migration {
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const { migration } = newRecord(newMigrationId(), request, { source: from, destination: to }, []);
  const ofSubflow = { sendBitsPerSec: 0, rttMs: null, congestionWindowBytes: null, retransmits: null };
  const { queues, ...link } = seen ?? NOTHING;
  const now = seen && {
    ...{ ...link, windowBytes: 0, kernelBytes: null, bufferedBytes: 0, rekeys: 0, compressionRatio: 1, streams: [] },
    subflows: queues.map((queueBytes, id) => ({ id, queueBytes, ...ofSubflow })),
  };
  const tunnel = {
    ...{ suite: 's', subflows: 7, subflowsReplaced: 0, bytesDelivered: 0, goodputBitsPerSec: 5, rttMs },
    ...{ congestionControl: null, retransmits: null, inFlightBytes: 0, refusals: {}, trouble: null, now },
  };
  return { ...migration, phase: 'performing', tunnel };
}

test('what goes over a link is the sum of what carries there now, each direction by itself', () => {
  const migrations = [
    moving('x', 'y', 41, {
      ...{ sendBitsPerSec: 3e8, linkBitsPerSec: 9e8, linkQueueMs: 2, linkLossShare: 0.01 },
      queues: [100, null],
    }),
    moving('x', 'y', 40, { ...NOTHING, sendBitsPerSec: 4e8, linkQueueMs: 3, linkLossShare: 0, queues: [20] }),
    moving('x', 'y', 42, { ...NOTHING, sendBitsPerSec: 0 }), // as an older version left it
    moving('y', 'x', null, NOTHING),
  ];
  assert.deepEqual(linkTraffic(migrations), [
    {
      ...{ source: 'x', destination: 'y', tunnels: 3, subflows: 21, goodputBitsPerSec: 7e8 },
      ...{ linkBitsPerSec: 9e8, rttMs: 40, queueMs: 3, lossShare: 0.01, queueBytes: 120 },
    },
    {
      ...{ source: 'y', destination: 'x', tunnels: 1, subflows: 7, goodputBitsPerSec: 1 },
      ...{ linkBitsPerSec: null, rttMs: null, queueMs: null, lossShare: null, queueBytes: null },
    },
  ]);
});

test('a tunnel that carries nothing yet, or no more, is none of it', () => {
  const carries = moving('x', 'y', 41, NOTHING);
  const others = (['connecting', 'tearing-down', 'succeeded'] as const).map((phase) => ({ ...carries, phase }));
  assert.deepEqual(linkTraffic([...others, moving('x', 'y', 41, null), { ...carries, tunnel: null }]), []);
  assert.equal(linkTraffic([{ ...carries, phase: 'confirming' }]).length, 1);
});
