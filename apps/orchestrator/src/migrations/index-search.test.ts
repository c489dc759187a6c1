/** How lists are searched where little of much matches. On a real Redis. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keys } from '../redis/keys.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { search } from './index-search.ts';

const ALL = 6_000;
/** So many of the same millisecond: more than fit into one batch. */
const AT_ONCE = 1_300;

test('what matches little is found whole, without walking again past what was seen', async () => {
  await using server = await startTestRedis();
  const { redis } = server;
  const marks = Array.from({ length: ALL }, (_, i) => ({
    id: `m_${String(i).padStart(5, '0')}`,
    createdAtMs: i < 2_000 ? i : 4_000 + Math.max(0, i - 1_999 - AT_ONCE),
  }));
  const [common, rare] = [keys.index('site', 'a'), keys.index('vm', 'b')];
  const fill = (index: string, those: typeof marks) =>
    redis.zadd(index, ...those.flatMap(({ id, createdAtMs }) => [createdAtMs, id]));
  await fill(common, marks);
  const matching = marks.filter((_, i) => i % 1_100 === 7).toReversed();
  // As large as the other one, and nothing more of it is in both.
  const others = marks.slice(0, ALL - matching.length).map((mark) => ({ ...mark, id: `n${mark.id}` }));
  await fill(rare, [...matching, ...others]);

  const offsets: number[] = [];
  const read = redis.zrevrangebyscore.bind(redis) as (...args: unknown[]) => Promise<string[]>;
  redis.zrevrangebyscore = ((...args: unknown[]) => {
    offsets.push(Number(args[5]));
    return read(...args);
  }) as never;
  assert.deepEqual(await search(redis, { indexes: [common, rare], limit: 1_000 }), matching);
  const ofAll = offsets.splice(0);
  assert.ok(ofAll.length >= ALL / 500, 'it has walked all of it');
  assert.ok(Math.max(...ofAll) <= AT_ONCE, `past more than those of one moment: ${ofAll}`);

  for (const limit of [1, 2]) {
    const found = [];
    for (let before = matching[0]; before !== undefined; before = found.at(-1)) {
      const page = await search(redis, { indexes: [common, rare], before, limit });
      if (page.length === 0) break;
      found.push(...page);
    }
    assert.deepEqual(found, matching.slice(1), 'page by page');
  }
  const [from, to] = [matching.at(-2), matching[1]];
  const between = { createdAfterMs: from?.createdAtMs, createdBeforeMs: to?.createdAtMs };
  assert.deepEqual(await search(redis, { indexes: [common, rare], ...between, limit: 1_000 }), matching.slice(2, -1));
});
