/** What a link is taken to carry. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Link } from '../links/links.ts';
import type { Endpoint } from '../sites/sites.ts';
import { expectedRate } from './expectations.ts';

const input = { source: 'a', destination: 'b', transport: 'tunnel', bandwidthBytesPerSec: null } as const;
const rateOf = (link: { goodputBitsPerSec?: number | null; rateBitsPerSec?: number | null; limit?: number }) =>
  expectedRate(input, {
    endpoints: { get: async (id) => ({ site: `at-${id}` }) as Endpoint },
    links: {
      get: async () =>
        ({
          rateBitsPerSec: link.rateBitsPerSec ?? null,
          limits: { bandwidthBytesPerSec: link.limit ?? null },
          measurements:
            link.goodputBitsPerSec === undefined
              ? []
              : [{ source: 'at-a', destination: 'at-b', goodputBitsPerSec: link.goodputBitsPerSec }],
        }) as unknown as Link,
    },
  });

test('what was measured, within the limits; else what was set', async () => {
  assert.equal(await rateOf({ goodputBitsPerSec: 8e8, rateBitsPerSec: 8e6 }), 1e8);
  assert.equal(await rateOf({ goodputBitsPerSec: 8e8, limit: 1e6 }), 1e6);
  assert.equal(await rateOf({ goodputBitsPerSec: null, rateBitsPerSec: 8e6 }), 1e6);
  assert.equal(await rateOf({}), null);
});

test('a measurement of nothing, as earlier versions have noted it, is none', async () => {
  assert.equal(await rateOf({ goodputBitsPerSec: 0, rateBitsPerSec: 8e6 }), 1e6);
  assert.equal(await rateOf({ goodputBitsPerSec: 0 }), null);
});
