import assert from 'node:assert/strict';
import { test } from 'node:test';
import { predictOutlook, type Situation } from './outlook.ts';

const MIB = 2 ** 20;
const situation: Situation = {
  bytesRemaining: 1_000 * MIB,
  dirtyRateBytesPerSec: 10 * MIB,
  countsPasses: true,
  goodputBytesPerSec: 110 * MIB,
  convergence: 'balanced',
  maxDowntimeMs: 1_000,
  bandwidthBytesPerSec: null,
};
const predict = (changes: Partial<Situation>) => predictOutlook({ ...situation, ...changes });

test('a quiet guest converges, in the time of all its passes together', () => {
  const { verdict, advice, etaMs } = predict({});
  assert.deepEqual([verdict, advice], ['converges', null]);
  // (1000 − 110 MiB) at 100 MiB/s net; the sum of the passes themselves, each as long as the one before takes to be written anew.
  assert.equal(etaMs, 8_900);
  let [left, sum] = [1_000, 0];
  for (; left > 110; left = (left / 110) * 10) sum += left / 110;
  assert.ok(Math.abs(sum * 1_000 - 8_900) < 1_500, `${sum}`);
});

test('a guest whose dirty rate exceeds what the link carries never does, and there is something to do about it', () => {
  const { verdict, message, advice, etaMs } = predict({ dirtyRateBytesPerSec: 120 * MIB });
  assert.deepEqual([verdict, etaMs], ['diverges', null]);
  assert.match(message, /dirty rate is 1\.01 Gbit\/s, the link carries 923 Mbit\/s/);
  assert.match(advice ?? '', /^Set convergence to must-finish, allow post-copy.*A pause of about 9 s would/);
  assert.doesNotMatch(advice ?? '', /bandwidth limit/);
  const limited = predict({ dirtyRateBytesPerSec: 120 * MIB, bandwidthBytesPerSec: 110 * MIB });
  assert.match(limited.advice ?? '', /^Raise the bandwidth limit of 923 Mbit\/s\. Set convergence/);
});

test('what is set already is no advice, a long pause is told in hours, and no field of the API is named', () => {
  const { advice } = predict({
    ...{ convergence: 'must-finish', dirtyRateBytesPerSec: 20 * MIB },
    ...{ goodputBytesPerSec: MIB, bytesRemaining: 13_993 * MIB },
  });
  assert.match(
    advice ?? '',
    /^Allow post-copy, allow a longer downtime, or migrate .* A pause of about 3 h 53 min would/,
  );
  assert.doesNotMatch(advice ?? '', /must-finish|maxDowntimeMs/);
});

test('in between it is said that it is narrow', () => {
  const { verdict, etaMs, advice } = predict({ dirtyRateBytesPerSec: 100 * MIB });
  assert.deepEqual([verdict, etaMs], ['narrow', 89_000]);
  assert.match(advice ?? '', /^Let it run/);
});

test('pages that go as their differences get across faster than bytes do', () => {
  const busy = { dirtyRateBytesPerSec: 120 * MIB };
  const { verdict, message, etaMs, advice } = predict({ ...busy, sentShareOfPages: 0.1 });
  // The link carries 1100 MiB/s of pages: (1000 − 110 MiB) at 980 MiB/s net.
  assert.deepEqual([verdict, etaMs, advice], ['converges', 908, null]);
  assert.match(
    message,
    /dirty rate is 1\.01 Gbit\/s, the link carries 923 Mbit\/s, 9\.23 Gbit\/s of memory as differences/,
  );
  const whole = predict({ ...busy, sentShareOfPages: 1 });
  assert.equal(whole.verdict, 'diverges');
  assert.doesNotMatch(whole.message, /differences/);
  assert.doesNotMatch(whole.advice ?? '', /differences/, 'it is on already');
  assert.doesNotMatch(
    predict(busy).advice ?? '',
    /differences/,
    'the plugin knows of none, or not yet how much they are',
  );
  const could = predict({ ...busy, differencesOption: 'someOption' });
  assert.match(could.advice ?? '', / send differences \(option someOption, from the next attempt on\),/);
  assert.equal(predict({ ...busy, sentShareOfPages: 0 }).verdict, 'converges');
});

test('what fits into the downtime is over, whatever the dirty rate is', () => {
  const { verdict, etaMs } = predict({ bytesRemaining: 100 * MIB, dirtyRateBytesPerSec: 500 * MIB });
  assert.deepEqual([verdict, etaMs], ['converges', 0]);
});

test('before the rate of the link is known, that is said, whatever is known of the guest', () => {
  for (const goodputBytesPerSec of [null, 0]) {
    for (const dirtyRateBytesPerSec of [null, 10 * MIB]) {
      const { verdict, message } = predict({ goodputBytesPerSec, dirtyRateBytesPerSec });
      assert.deepEqual([verdict, message], ['unknown', 'The link’s rate is not known yet.']);
    }
  }
});

test('of a guest whose writes nobody told, no measurement is promised that does not come', () => {
  for (const [countsPasses, said] of [
    [true, 'The hypervisor has not told the dirty rate yet: that is measured after the first pass.'],
    [false, 'The hypervisor has not told the dirty rate.'],
  ] as const) {
    const { verdict, message } = predict({ dirtyRateBytesPerSec: null, countsPasses });
    assert.deepEqual([verdict, message], ['unknown', said]);
  }
});
