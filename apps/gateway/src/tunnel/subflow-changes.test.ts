// The number of subflows changes while streams run, under cuts and re-keying, whoever sends: no byte is lost, no key and no nonce twice.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { KeyWatch } from '../testing/key-watch.ts';
import { exchange, hashServer, makePair, makeRelayedPair, makeRoute, serve, sha1, until } from '../testing/support.ts';

const disagreements = ['FRAME_CORRUPTED', 'FRAME_REPLAYED', 'FRAME_INVALID', 'JOIN_INVALID', 'JOIN_REPLAYED'];

test('they are joined and retired all the time, while others are cut and all are re-keyed', {
  timeout: 40_000,
}, async (t) => {
  const watch = KeyWatch.start(t);
  const tuning = { rekey: { bytes: 1 << 20, ageMs: 3_600_000 } };
  const pair = await makeRelayedPair(t, { subflows: { min: 1, max: 10 }, tuning });
  const { near, far, relay } = pair;
  const route = await makeRoute(pair, await serve(t, hashServer()));
  const bytes = randomBytes(40_000_000);
  const count = near.session?.data.sender.subflowCount;
  assert.ok(count);
  count.sample = () => false; // The test says how many.
  // Slow enough for every change to happen while bytes flow.
  near.setLimits({ bandwidthBytesPerSec: 20_000_000 });
  const answer = exchange(route.port, bytes);
  for (const wanted of [10, 2, 7, 1, 5, 3, 8]) {
    count.wanted = wanted;
    await until(() => far.session?.data.subflows.length === wanted, `there are ${wanted}`, 20_000);
    relay.cut('subflow', 1);
    if (wanted === 7) relay.cut('control');
  }
  near.setLimits({ bandwidthBytesPerSec: null });
  assert.equal((await answer).toString(), `${sha1(bytes)} ${bytes.length}`);
  assert.ok(watch.keys > 30 && watch.sealers > 20, `${watch.keys} keys, ${watch.sealers} sealers`);
  for (const { refusals } of [near, far])
    for (const code of disagreements) assert.equal(refusals[code], undefined, code);
});

test('a subflow that is retired is not counted as lost, and its number can be used again', {
  timeout: 20_000,
}, async (t) => {
  const { near, far } = await makePair(t, { subflows: { min: 1, max: 8 } });
  const count = near.session?.data.sender.subflowCount;
  assert.ok(count);
  for (const wanted of [2, 8, 3]) {
    count.wanted = wanted;
    await until(
      () => [near, far].every(({ session }) => session?.data.subflows.length === wanted),
      `both have ${wanted}`,
    );
  }
  assert.deepEqual([near.session?.subflowsReplaced, far.session?.subflowsReplaced], [0, 0]);
  assert.deepEqual(
    near.status().subflows.map(({ id, state }) => [id, state]),
    [0, 1, 2].map((id) => [id, 'open']),
  );
  assert.deepEqual(near.status().session?.subflows, { wanted: 3, min: 1, max: 8 });
});

test('the listening end says how many it would like, and gets them within the limits of the dialling one', {
  timeout: 20_000,
}, async (t) => {
  const pair = await makeRelayedPair(t, { subflows: { min: 2, max: 7 } });
  const [near, far] = [pair.near.session, pair.far.session];
  assert.ok(near && far);
  near.data.sender.subflowCount.wanted = 2;
  await until(() => far.data.subflows.length === 2, 'it has little to send, and so has nobody');
  far.data.sender.subflowCount.isInformed = true;
  for (const [wanted, gets] of [
    [5, 5],
    [60, 7],
    [3, 3],
  ] as const) {
    far.data.sender.subflowCount.wanted = wanted;
    await until(() => near.data.subflows.length === gets, `${gets} are there`);
  }
  // What was said on a control channel that is lost is said again on the next.
  pair.relay.cut('control');
  await until(() => near.state === 'established' && near.subflows.wanted === 3, 'it stands');
  assert.equal(near.data.subflows.length, 3);
});

test('a fixed number stays, whatever either end would like', { timeout: 20_000 }, async (t) => {
  const { near, far } = await makePair(t, { subflows: 3 });
  const count = far.session?.data.sender.subflowCount;
  assert.ok(count && near.session);
  assert.deepEqual(count.range, { min: 3, max: 3 });
  count.isInformed = true;
  count.wanted = 9;
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.deepEqual([near.session.subflows.wanted, near.session.data.subflows.length], [3, 3]);
});
