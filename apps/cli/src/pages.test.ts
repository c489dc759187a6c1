/** Lists that are longer than a page: whole, or with a word that there is more. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type FakeOrchestrator, fakeOrchestrator, problem, sampleMigration } from './fake-orchestrator.ts';
import { lmas } from './fake-terminal.ts';

/** Three pages of one thing each. */
function threePages(fake: FakeOrchestrator, path: string, item: (n: number) => object): void {
  fake.on(`GET ${path}`, ({ url }, response) => {
    const at = Number(new URL(url, fake.url).searchParams.get('cursor') ?? 0);
    const page = { items: [item(at)], nextCursor: at === 2 ? null : String(at + 1) };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(page));
  });
}

const plan = (n: number) => ({
  id: `plan-${n}`,
  waves: [],
  after: [],
  description: '',
  changedAt: '2026-01-01T00:00:00Z',
});
const schedule = (n: number) => ({
  ...{ id: `at-${n}`, state: 'active', nextAt: null, current: null, waiting: null, timeZone: 'UTC' },
  ...{ action: { kind: 'balancing', policy: 'p' }, trigger: { kind: 'cron', expression: '0 3 * * *' } },
});
const ID = 'm_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a1';
const waiting = (n: number) =>
  sampleMigration({ id: `${ID}${n}`, waiting: { place: n + 1, reason: 'the queue is paused', blockedBy: [] } });
const planRun = (n: number) => ({
  id: `r_${n}`,
  plan: 'x',
  mode: 'drill',
  phase: 'failed',
  pausedAt: null,
  vms: {},
  message: '',
  createdAt: '2026-01-01T00:00:00Z',
});
const delivery = (n: number) => ({
  id: `msg_${n}`,
  event: 'test',
  status: 'failed',
  attempts: [],
  createdAt: '2026-01-01T00:00:00Z',
});

test('what is listed whole is followed from page to page', async () => {
  for (const { args, path, item } of [
    { args: ['plan', 'list'], path: '/v1/plans', item: plan },
    { args: ['schedule', 'list'], path: '/v1/schedules', item: schedule },
    { args: ['queue', 'list'], path: '/v1/queue/migrations', item: waiting },
    { args: ['plan', 'runs', '--all'], path: '/v1/plan-runs', item: planRun },
    { args: ['webhook', 'deliveries', 'x', '--all'], path: '/v1/webhooks/x/deliveries', item: delivery },
  ]) {
    await using fake = await fakeOrchestrator();
    threePages(fake, path, item);
    const text = await lmas(fake, ...args);
    assert.equal(text.code, 0, text.err);
    assert.equal(text.out.trim().split('\n').length, 4, text.out);
    const { items, nextCursor } = JSON.parse((await lmas(fake, ...args, '--json')).out);
    assert.deepEqual([items.length, nextCursor], [3, null], path);
  }
});

test('where only the newest are shown it is said that there are more', async () => {
  for (const { args, path, item } of [
    { args: ['plan', 'runs'], path: '/v1/plan-runs', item: planRun },
    { args: ['webhook', 'deliveries', 'x'], path: '/v1/webhooks/x/deliveries', item: delivery },
    { args: ['list'], path: '/v1/migrations', item: waiting },
  ]) {
    await using fake = await fakeOrchestrator();
    threePages(fake, path, item);
    assert.match((await lmas(fake, ...args)).err, new RegExp(`There are more: lmas ${args.join(' ')} --all`));
    assert.equal((await lmas(fake, ...args, '--limit', '1', '--all')).code, 2);
    await lmas(fake, ...args, '--limit', '7');
    assert.match(fake.calls.at(-1)?.url ?? '', /limit=7/);
  }
});

describe('a queue that is looked at', () => {
  test('says of none that waits on that it waits no more', { timeout: 20_000 }, async () => {
    await using fake = await fakeOrchestrator();
    const page = (items: object[]) => JSON.stringify({ items, nextCursor: null });
    // The second look misses the second one, which has moved from one page to the other meanwhile; the third one is gone.
    const looks = [page([waiting(0), waiting(1), waiting(2)]), page([waiting(0)]), page([])];
    let next = 0;
    fake.on('GET /v1/queue/migrations', (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(looks[Math.min(next, 2)]);
      next += 1;
    });
    fake.on(`GET /v1/migrations/${ID}0`, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(sampleMigration({ id: `${ID}0`, phase: 'checking' })));
    });
    fake.on(`GET /v1/migrations/${ID}1`, (_, response) => {
      const phase = next < 3 ? 'queued' : 'checking';
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(sampleMigration({ id: `${ID}1`, phase, waiting: waiting(1).waiting })));
    });
    fake.on(`GET /v1/migrations/${ID}2`, problem(404, 'MIGRATION_NOT_FOUND', 'no such migration'));
    const { code, out, err } = await lmas(fake, 'queue', 'list', '--watch');
    assert.equal(code, 0, err);
    const ended = out.split('\n').flatMap((line) => line.match(/(\d) {2}waits no more/)?.[1] ?? []);
    assert.deepEqual(ended, ['2', '0', '1']);
    assert.equal(next, 3, 'the second one was waited for');
  });
});
