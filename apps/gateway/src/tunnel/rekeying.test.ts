// Keys change all the time: every MiB, with every subflow that is cut, with every control channel. No byte is lost, no key and no nonce twice.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { Gateway } from '../gateway.ts';
import { KeyWatch } from '../testing/key-watch.ts';
import { exchange, hashServer, makeRelayedPair, makeRoute, serve, sha1, until } from '../testing/support.ts';

/** What was cut is refused for that; nothing is refused for a key that the ends do not agree about. */
function assertAgreed(...gateways: Gateway[]): void {
  const disagreements = [
    'FRAME_CORRUPTED',
    'FRAME_REPLAYED',
    'FRAME_INVALID',
    'PROOF_INVALID',
    'JOIN_INVALID',
    'SESSION_UNKNOWN',
  ];
  for (const { refusals } of gateways) for (const code of disagreements) assert.equal(refusals[code], undefined, code);
}

for (const suite of ['aes-256-gcm', 'chacha20-poly1305', 'none'] as const) {
  test(`${suite}: re-keyed every MiB while subflows and control channels are cut`, { timeout: 40_000 }, async (t) => {
    const watch = KeyWatch.start(t);
    const tuning = { rekey: { bytes: 1 << 20, ageMs: 3_600_000 } };
    const { near, far, relay, ...pair } = await makeRelayedPair(t, { subflows: 3, suite, tuning });
    const route = await makeRoute({ near, far, relay, ...pair }, await serve(t, hashServer()));
    const bytes = randomBytes(30_000_000);
    const answer = exchange(route.port, bytes);
    let cuts = 0;
    const arrived = () => far.session?.data.bytesReceived ?? 0;
    for (let share = 1; share <= 5; share += 1) {
      await until(() => arrived() >= share * 4_000_000, `${share * 4} MB have arrived`, 30_000);
      if (share % 2 === 1) cuts += relay.cut('subflow', 1);
      else cuts += relay.cut('control');
    }
    assert.equal((await answer).toString(), `${sha1(bytes)} ${bytes.length}`);
    assert.ok(cuts >= 4, `${cuts} cuts`);
    await until(() => near.session?.state === 'established', 'the session is whole again');
    const rekeys = near.status().session?.rekeys ?? 0;
    assert.ok(rekeys >= 15, `${rekeys} times`);
    assert.ok(watch.keys >= 15 + 2 * 3 && watch.sealers >= 15, `${watch.keys} keys, ${watch.seals} seals`);
    assertAgreed(near, far);
  });
}

test('a key is old after its time as well', { timeout: 20_000 }, async (t) => {
  const watch = KeyWatch.start(t);
  const tuning = { rekey: { bytes: 2 ** 36, ageMs: 100 }, stall: { kernelMs: 3_000, silenceMs: 15_000, pingMs: 50 } };
  const { near, far } = await makeRelayedPair(t, { subflows: 2, tuning });
  await until(
    () => (near.status().session?.rekeys ?? 0) >= 6 && (far.status().session?.rekeys ?? 0) >= 6,
    'it changed',
  );
  assert.ok(watch.keys >= 16);
  assertAgreed(near, far);
});
