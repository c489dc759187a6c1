/** The course of a migration on a real Redis: what a reader from the beginning gets long after progress has pushed it out. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { createAdmission } from '../admission/admission.ts';
import { laneOf } from '../admission/groups.ts';
import { keys } from '../redis/keys.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { startTestRedis } from '../testing/test-redis.ts';
import { gapBefore } from './course.ts';
import { createEventHub, isEvent } from './events.ts';
import { newMigrationId, newRecord } from './record.ts';
import { createMigrationStore } from './store.ts';
import { MAX_EVENTS } from './store-answers.ts';

const server = await startTestRedis();
const { redis } = server;
const subscriber = redis.duplicate();
after(async () => {
  subscriber.disconnect();
  await server[Symbol.asyncDispose]();
});
const store = createMigrationStore(redis);
const admission = createAdmission(redis);
const events = await createEventHub(redis, subscriber, store);

/** One that moves, and a way to tell of it. */
async function moving() {
  const request = migrationInputSchema.parse({ vm: newMigrationId(), source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const { id } = record.migration;
  await store.create(record, laneOf(record.migration, { transparent: false }));
  await admission.admit(1_000);
  const claimed = await store.claim(id, 'run', 60_000);
  assert.ok(typeof claimed !== 'string', String(claimed));
  const { claim, stored } = claimed;
  let { version } = claimed;
  const write = async (type: 'phase' | 'progress', message: string) => {
    if (type === 'phase') stored.migration.timeline.push({ phase: 'preparing', startedAt: new Date().toISOString() });
    await store.write(claim, version++, stored, { type, message });
  };
  const progress = async (from: number, to: number) => {
    for (let i = from; i < to; i += 1) await write('progress', String(i));
  };
  return { id, claim, write, progress };
}

/** As far as there is something, what is told of it after a place. */
function reader(id: string, afterId = '0-0') {
  const ending = new AbortController();
  const told = events.follow(id, afterId, { signal: ending.signal });
  const next = async () => {
    const { value } = await told.next();
    return isEvent(value) ? { id: value.id, message: (JSON.parse(value.json) as { message: string }).message } : value;
  };
  /** Up to and with this one. */
  const upTo = async (message: string) => {
    const all: (string | { missed: number | null })[] = [];
    for (;;) {
      const one = await next();
      assert.ok(one !== undefined, `nothing more after ${all.at(-1)}`);
      all.push('message' in one ? one.message : one);
      if ('message' in one && one.message === message) return all;
    }
  };
  return { next, upTo, stop: () => ending.abort() };
}

const MANY = MAX_EVENTS + 300;

test('a page that is opened late hears of every phase, and how it went on since', async () => {
  const { id, claim, write, progress } = await moving();
  await write('phase', 'checking');
  await write('phase', 'preparing');
  await progress(0, MANY);
  await write('phase', 'confirming');
  const kept = await redis.xlen(keys.events(id));
  assert.ok(kept < MANY, 'most of the progress is not in the event stream any more');
  const late = reader(id);
  const told = await late.upTo('confirming');
  late.stop();
  assert.deepEqual(told.slice(0, 3), ['queued', 'checking', 'preparing']);
  assert.deepEqual(told.slice(-kept), [...range(MANY - kept + 1, MANY), 'confirming']);
  assert.equal(new Set(told).size, told.length, 'nothing twice');
  assert.ok(told.length < kept + 20, `only now and then one of the progress: ${told.length}`);

  const course = `${keys.events(id)}:course`;
  assert.ok((await redis.pttl(course)) > 0, 'whoever knows nothing of it need not take it away');
  await store.end(claim, { locks: [], phase: 'queued', complete: true });
  const [left, ofCourse] = [await redis.pttl(keys.events(id)), await redis.pttl(course)];
  assert.ok(ofCourse > 0 && Math.abs(left - ofCourse) < 1_000, `${left} ${ofCourse}`);
});

test('who was away in between goes on with what is kept of that, and then with everything', async () => {
  const { id, write, progress } = await moving();
  await progress(0, 3);
  const early = reader(id);
  assert.deepEqual(await early.upTo('2'), ['queued', '0', '1', '2']);
  const place = await redis.xrevrange(keys.events(id), '+', '-', 'COUNT', 1);
  await progress(3, 50);
  await write('phase', 'connecting');
  await progress(50, MANY);
  const again = reader(id, place[0]?.[0]);
  const oldest = MANY - (await redis.xlen(keys.events(id)));
  const whole = await again.upTo(String(MANY - 1));
  const elsewhere = whole.slice(0, whole.indexOf(String(oldest)));
  assert.ok(elsewhere.includes('connecting'), elsewhere.join());
  // Whoever stayed, and was too slow, is told how many he missed: those that nobody keeps.
  const slow = await early.upTo(String(oldest));
  assert.deepEqual(slow, [...elsewhere, { missed: oldest - 3 + 1 - elsewhere.length }, String(oldest)]);
  for (const one of [early, again]) one.stop();
});

test('what an earlier version wrote has no course, and is read as it is', async () => {
  const { id, progress } = await moving();
  await progress(0, 5);
  await redis.del(`${keys.events(id)}:course`);
  const { upTo, stop } = reader(id);
  assert.deepEqual(await upTo('4'), ['queued', ...range(0, 5)]);
  stop();
});

test('a place that is past the newest copy does no harm to a write', async () => {
  const { id, write, progress } = await moving();
  await redis.xadd(`${keys.events(id)}:course`, `${Date.now() + 3_600_000}-0`, 'event', '{}'); // a clock that was set back since
  await write('phase', 'preparing');
  await progress(0, 1);
  const { upTo, stop } = reader(id);
  assert.deepEqual(await upTo('0'), ['queued', 'preparing', '0']);
  stop();
});

test('progress is copied ever more rarely, and all else always', () => {
  const startedAt = '2030-01-01T00:00:00.000Z';
  const timeline = [{ phase: 'preparing' as const, startedAt }];
  const after = (ms: number) => Date.parse(startedAt) + ms;
  assert.equal(gapBefore('progress', { timeline }, after(10_000)), 500);
  assert.equal(gapBefore('progress', { timeline }, after(3_600_000)), 60_000);
  assert.equal(gapBefore('phase', { timeline }, after(3_600_000)), 0);
  assert.equal(gapBefore('progress', { timeline: [] }, after(0)), 0);
  let copies = 0;
  for (let ms = 0, last = 0; ms < 7 * 24 * 3_600_000; ms += 1_000) {
    if (ms - last < gapBefore('progress', { timeline }, after(ms))) continue;
    last = ms;
    copies += 1;
  }
  assert.ok(copies < 700, `${copies} of a week`);
});

const range = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => String(from + i));
