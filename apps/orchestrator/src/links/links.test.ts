/** Links on a real Redis: every pair of sites, in one order, with what was set and what was measured. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Redis } from 'ioredis';
import { createAdmission } from '../admission/admission.ts';
import { errorCode, LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { connect } from '../redis/connect.ts';
import { type PrivateRedis, startPrivateRedis } from '../redis/private-server.ts';
import { siteInputSchema } from '../schemas/site.ts';
import type { SiteStore } from '../sites/sites.ts';
import { createBandwidthLimits } from './bandwidth-limits.ts';
import { createLinkService, type LinkService } from './links.ts';

const log = createLog('silent');
const directory = await mkdtemp(join(tmpdir(), 'lmas-links-'));
let server: PrivateRedis;
let redis: Redis;
let links: LinkService;
const names = ['a', 'b', 'c'];
const seen = (): void => undefined; // whatever there is, the caller has seen it
const site = (id: string) => ({ ...siteInputSchema.parse({ id }), createdAt: new Date(0).toISOString() });
const sites: Pick<SiteStore, 'list' | 'get'> = {
  list: async () => names.map(site),
  get: async (id) => {
    if (!names.includes(id)) throw new LmasError('SITE_NOT_FOUND');
    return site(id);
  },
};
before(async () => {
  server = await startPrivateRedis('redis-server', directory, log);
  redis = connect(server, log);
  const traffic = { redis, admission: createAdmission(redis), bandwidth: createBandwidthLimits(redis) };
  links = createLinkService(redis, sites, traffic);
});
after(async () => {
  redis.disconnect();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

test('there is one link for each pair of sites, whoever is named first', async () => {
  assert.deepEqual(
    (await links.list()).map(({ id }) => id),
    ['a~b', 'a~c', 'b~c'],
  );
  assert.equal((await links.get('b~a')).id, 'a~b');
  for (const id of ['a~z', 'a~a', 'a']) {
    await assert.rejects(links.get(id), (error) => errorCode(error) === 'LINK_NOT_FOUND');
  }
});

test('what is set stays until it is set otherwise; what is not named is not touched', async () => {
  await links.change('b~a', { rateBitsPerSec: 1_000_000_000, limits: { maxMigrations: 3 } }, seen);
  const link = await links.change('a~b', { limits: { bandwidthBytesPerSec: 5_000_000 } }, seen);
  assert.equal(link.rateBitsPerSec, 1_000_000_000);
  assert.deepEqual(link.limits, { maxMigrations: 3, bandwidthBytesPerSec: 5_000_000 });
  assert.deepEqual((await links.get('a~c')).limits, { maxMigrations: null, bandwidthBytesPerSec: null });
  const freed = await links.change('a~b', { rateBitsPerSec: null, limits: { maxMigrations: null } }, seen);
  assert.deepEqual([freed.rateBitsPerSec, freed.limits.maxMigrations], [null, null]);
});

test('each direction keeps its newest measurement', async () => {
  const measured = { rttMinMs: 80, rttMedianMs: 81, goodputBitsPerSec: 9e8, lossPct: 0, mtuBytes: 1_500 };
  await links.note({ source: 'a', destination: 'b', ...measured, measuredBy: 'test' });
  await links.note({ source: 'b', destination: 'a', ...measured, goodputBitsPerSec: 1e8, measuredBy: 'migration' });
  await links.note({ source: 'a', destination: 'b', ...measured, goodputBitsPerSec: 5e8, measuredBy: 'migration' });
  const { measurements } = await links.get('a~b');
  assert.deepEqual(
    measurements.map(({ source, goodputBitsPerSec, measuredBy }) => [source, goodputBitsPerSec, measuredBy]),
    [
      ['a', 5e8, 'migration'],
      ['b', 1e8, 'migration'],
    ],
  );
});
