// How long a probe pads, on a path of 20 ms whose ends are played.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlType, writeTimes } from '../protocol/control-times.ts';
import type { DataChannel } from './data-channel.ts';
import type { LinkRate } from './link-rate.ts';
import { Probe } from './probe.ts';

const rttMs = 20;
const askedMs = 60;

interface Padded {
  lastedMs: number;
  found: boolean;
  goodputBitsPerSec: number | null;
}

/**
 * @param foundAfterMs until the rate of the link is found; null: it never is
 * @param reports what the far end counts after so long; null: it does not answer
 */
async function pad(
  foundAfterMs: number | null,
  reports: (elapsedMs: number) => { bytes: number; atMs: number } | null = (atMs) => ({ bytes: atMs * 1_000, atMs }),
): Promise<Padded> {
  const linkRate: Pick<LinkRate, 'state'> = { state: 'startup' };
  let startedAtMs = 0;
  let end = { lastedMs: 0, found: false };
  const data = {
    padBytesReceived: 0,
    subflows: [],
    pad: () => {
      startedAtMs = performance.now();
      if (foundAfterMs !== null) setTimeout(() => Object.assign(linkRate, { state: 'paced' }), foundAfterMs);
    },
    sender: {
      linkRate,
      link: { ping: () => undefined },
      steadyLoss: { restart: () => undefined, share: null },
      padding: {
        outstandingBytes: 0,
        end: () => {
          end = { lastedMs: performance.now() - startedAtMs, found: linkRate.state === 'paced' };
        },
      },
      padArrived: () => undefined,
      stopPadding: () => undefined,
    },
  } as unknown as DataChannel;
  const probe: Probe = new Probe(data, (type, body) => {
    if (type === ControlType.PING) {
      setTimeout(() => probe.message({ type: ControlType.PONG, body: probe.pong(body) }), rttMs);
    } else if (type === ControlType.PROBE_QUERY) {
      const elapsedMs = performance.now() - startedAtMs;
      const report = reports(elapsedMs);
      if (report === null) return;
      probe.message({ type: ControlType.PROBE_REPORT, body: writeTimes(report.bytes, report.atMs) });
    }
  });
  const { goodputBitsPerSec } = await probe.run(askedMs);
  return { ...end, goodputBitsPerSec };
}

test('it lasts as long as was asked for where the rate of the link is known by then', async () => {
  const { lastedMs, found, goodputBitsPerSec } = await pad(0);
  assert.ok(Math.abs((goodputBitsPerSec ?? 0) / 8_000_000 - 1) < 0.05, `${goodputBitsPerSec}`);
  assert.ok(found && lastedMs >= askedMs - 1, `${lastedMs} ms`);
});

test('it goes on until the rate is found', async () => {
  const { lastedMs, found } = await pad(180);
  assert.ok(found && lastedMs >= 179, `${lastedMs} ms`);
});

test('it gives up after some round trips more', async () => {
  const { lastedMs, found } = await pad(null);
  assert.ok(!found && lastedMs >= askedMs + 15 * rttMs, `${lastedMs} ms`);
});

test('where the far end reports nothing, only once, or that nothing arrived, the rate is not known: never 0', async () => {
  for (const reports of [() => null, () => ({ bytes: 1_000, atMs: 5 }), (atMs: number) => ({ bytes: 0, atMs })]) {
    assert.equal((await pad(0, reports)).goodputBitsPerSec, null);
  }
});
