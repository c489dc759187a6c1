/** `--watch` for many: on a terminal, in a log, for scripts; and its exit codes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Migration } from '@lmas/client';
import { migrationSchema } from '../../orchestrator/src/schemas/migration.ts';
import { migrationListSchema } from '../../orchestrator/src/schemas/migration-list.ts';
import { queueSchema } from '../../orchestrator/src/schemas/queue.ts';
import { answer, type FakeOrchestrator, fakeOrchestrator, problem, sampleMigration } from './fake-orchestrator.ts';
import { run } from './program.ts';

const [A, B] = ['a', 'b'].map((letter) => `m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a1${letter}`) as [string, string];
const LIMITS = { timeout: 20_000 };

/** Runs a command in this process, at a terminal or into a log. */
async function lmas(
  fake: FakeOrchestrator,
  args: readonly string[],
  { isTTY = false, stop = new AbortController() } = {},
) {
  const streams = { out: '', err: '' };
  const stream = (name: 'out' | 'err') => ({
    ...{ isTTY, columns: 100, rows: 12 },
    write: (text: string) => {
      streams[name] += text;
    },
  });
  const code = await run(args, {
    ...{ stdout: stream('out'), stderr: stream('err'), stdin: process.stdin, interrupted: stop.signal },
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key', TZ: 'UTC' },
  });
  return { code, ...streams };
}

const one = (id: string, name: string, changes: Partial<Migration> = {}): Migration =>
  sampleMigration({ id, vm: { id: null, name }, ...changes });
const moving = (percent: number): Partial<Migration> => ({
  phase: 'performing',
  progress: {
    ...{ stage: 'memory', percent, bytesTotal: 100, bytesTransferred: percent, bytesRemaining: 100 - percent },
    ...{ rateBytesPerSec: 1e8, dirtyRateBytesPerSec: null, iteration: 1, etaMs: 9_000, outlook: null },
    at: '2026-01-01T00:00:00.000Z',
  },
});
const ended = (phase: 'succeeded' | 'failed'): Partial<Migration> => ({
  ...{ phase, where: phase === 'succeeded' ? 'destination' : 'source', teardown: 'complete', progress: null },
  ...{ startedAt: '2026-01-01T00:00:01.000Z', endedAt: '2026-01-01T00:00:31.000Z' },
});

/** Each look finds the next of these; the last one stays. */
function looks(fake: FakeOrchestrator, ...pages: (readonly Migration[])[]): void {
  let next = 0;
  fake.on('GET /v1/migrations', (call, response) => {
    const items = pages[Math.min(next, pages.length - 1)] ?? [];
    next += 1;
    answer(200, migrationListSchema, { items, nextCursor: null })(call, response);
  });
}

// Each look is a second after the last one: the tests wait side by side.
describe('--watch for many', { concurrency: true }, () => {
  test('where there is nothing to follow that is said', LIMITS, async () => {
    await using fake = await fakeOrchestrator();
    looks(fake, []);
    assert.deepEqual(await lmas(fake, ['list', '--watch']), { code: 0, out: '', err: 'Nothing to follow.\n' });
    assert.deepEqual(await lmas(fake, ['list', '--watch', '--json']), { code: 0, out: '', err: '' });
    fake.on('GET /v1/queue/migrations', answer(200, migrationListSchema, { items: [], nextCursor: null }));
    assert.equal((await lmas(fake, ['queue', 'list', '--watch'])).err, 'Nothing waits.\n');
  });

  test('a log has a line for each change, and the exit code is that of the worst', LIMITS, async () => {
    await using fake = await fakeOrchestrator();
    const over = one(A, 'old', ended('failed'));
    looks(
      fake,
      [one(A, 'web-1'), { ...over, id: `${A.slice(0, -1)}0` }],
      [one(A, 'web-1', moving(12))],
      // One that comes later is followed, one that no filter shows any more too.
      [one(B, 'db-1', moving(20))],
      [one(B, 'db-1', ended('succeeded'))],
    );
    let asked = 0;
    fake.on(`GET /v1/migrations/${A}`, (call, response) => {
      asked += 1;
      answer(200, migrationSchema, one(A, 'web-1', asked === 1 ? moving(18) : ended('failed')))(call, response);
    });
    const { code, out, err } = await lmas(fake, ['list', '--watch']);
    assert.equal(code, 1, err);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^\S+( \S+)? {2}/, ''));
    assert.deepEqual(lines.slice(0, 3), [
      `${A}  web-1  host-a → host-b  queued`,
      `${A}  web-1  host-a → host-b  performing 10 %`,
      `${B}  db-1  host-a → host-b  performing 20 %`,
    ]);
    assert.match(lines[3] ?? '', new RegExp(`^${B}  .*db-1 runs at host-b now`));
    assert.match(lines[4] ?? '', new RegExp(`^${A}  `));
    assert.equal(lines.length, 5, out);
    assert.equal(stripVTControlCharacters(out), out);
  });

  test('on a terminal the table is drawn in place, with progress, and stays at the end', LIMITS, async () => {
    await using fake = await fakeOrchestrator();
    const many = (changes: Partial<Migration>) =>
      Array.from({ length: 20 }, (_, index) =>
        one(`m_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9${String(index).padStart(3, '0')}`, `vm-${index}`, changes),
      );
    looks(fake, many(moving(50)), many(ended('succeeded')));
    const { code, out } = await lmas(fake, ['list', '--watch'], { isTTY: true });
    assert.equal(code, 0);
    const frames = out.split('\u001b[J');
    assert.ok(frames.length >= 2, JSON.stringify(out));
    const [first = '', last = ''] = [frames[0], frames.at(-1)].map((frame = '') => stripVTControlCharacters(frame));
    assert.match(first, /performing 50 % {2}\[#+ +\]/);
    assert.ok(first.split('\n').length <= 12, 'no higher than the terminal');
    assert.match(first, /… and 13 lines more/);
    for (const line of stripVTControlCharacters(out).split('\n')) assert.ok(line.length < 100, line);
    assert.match(last, /vm-19 [\s\S]*0 wait, 0 run, 20 succeeded\n$/);
  });

  test(
    'scripts get one JSON line for each change; a lost connection is told once, and waited for',
    LIMITS,
    async () => {
      await using fake = await fakeOrchestrator();
      let asked = 0;
      fake.on('GET /v1/migrations', (call, response) => {
        asked += 1;
        if (asked === 2) problem(503, 'UNAVAILABLE', 'Redis is away')(call, response);
        else {
          const items = [one(A, 'web-1', asked < 3 ? moving(30) : ended('succeeded'))];
          answer(200, migrationListSchema, { items, nextCursor: null })(call, response);
        }
      });
      const { code, out, err } = await lmas(fake, ['list', '--watch', '--json']);
      assert.equal(code, 0);
      assert.deepEqual(
        out
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line).phase),
        ['performing', 'succeeded'],
      );
      assert.match(
        err,
        /^lmas: no connection to the orchestrator, trying again: Redis is away.*\nlmas: connected again\n$/,
      );
    },
  );

  test('nothing under way ends at once; what the orchestrator refuses ends it too', LIMITS, async () => {
    await using fake = await fakeOrchestrator();
    looks(fake, [one(A, 'web-1', ended('failed'))]);
    assert.equal((await lmas(fake, ['list', '--watch'])).code, 0, 'what had ended before is not what was waited for');
    fake.on('GET /v1/migrations', problem(401, 'UNAUTHENTICATED', 'no'));
    assert.equal((await lmas(fake, ['list', '--watch'])).code, 4);
  });

  test('the queue is followed until nothing waits; Ctrl-C ends the looking', LIMITS, async () => {
    await using fake = await fakeOrchestrator();
    let next = 0;
    const waits = (id: string, place: number) =>
      one(id, id === A ? 'web-1' : 'db-1', { waiting: { place, reason: 'the queue is paused', blockedBy: [] } });
    const pages = [[waits(A, 1), waits(B, 2)], [waits(B, 1)], []];
    fake.on('GET /v1/queue/migrations', (call, response) => {
      answer(200, migrationListSchema, { items: pages[next++] ?? [], nextCursor: null })(call, response);
    });
    const { code, out } = await lmas(fake, ['queue', 'list', '--watch']);
    assert.equal(code, 0);
    assert.match(
      out,
      new RegExp(
        `${A}  web-1  place 1: .*\\n.*${B}  db-1  place 2: .*\\n.*${B}  db-1  place 1: .*\\n.*${A}  waits no more\\n.*${B}  waits no more\\n$`,
      ),
    );
    const limits = { maxMigrations: null, bandwidthBytesPerSec: null };
    fake.on('GET /v1/queue', answer(200, queueSchema, { pausedAt: null, waiting: 2, running: 1, limits }));
    const stop = new AbortController();
    const watching = lmas(fake, ['queue', 'show', '--watch'], { stop });
    while (!fake.calls.some(({ url }) => url === '/v1/queue')) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    assert.equal((await watching).code, 130);
  });
});
