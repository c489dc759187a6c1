/** Each examination on books that a healthy installation does not have; the whole at a real one is in test/workflow/doctor. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Role } from '../access/principal.ts';
import { writeRefusal } from '../redis/away.ts';
import type { Check } from './check.ts';
import { createDiagnosis } from './diagnosis.ts';
import { examinationsOf, type Subjects } from './examinations.ts';

const DAY_MS = 24 * 3_600_000;
const inDays = (days: number) => new Date(Date.now() + days * DAY_MS);
const limits = { maxMigrations: null, bandwidthBytesPerSec: null };

/** Checks of an installation that has nothing but what is given; what is not asked for breaks off. */
async function diagnose(subjects: Partial<Record<keyof Subjects, unknown>>, role: Role = 'admin'): Promise<Check[]> {
  return await createDiagnosis(examinationsOf(subjects as unknown as Subjects)).run({ role });
}

async function one(name: string, subjects: Partial<Record<keyof Subjects, unknown>>): Promise<Check> {
  return (await diagnose(subjects)).find((check) => check.name === name) ?? assert.fail(`no ${name}`);
}

test('a certificate: valid, about to end, ended, none', async () => {
  const certificate = (ends: Date | null, isLoopback = false) =>
    one('certificate of the API', { certificateEnds: async () => ends, isLoopback });
  assert.equal((await certificate(inDays(60))).status, 'ok');
  assert.equal((await certificate(inDays(3))).status, 'warning');
  assert.equal((await certificate(inDays(-1))).status, 'failed');
  assert.equal((await certificate(null, true)).status, 'ok');
  assert.equal((await certificate(null)).status, 'warning');
});

test('the disk of a private Redis is told of before it is full, in proportion to its size', async () => {
  const GIB = 2 ** 30;
  const disk = async (freeBytes: number, sizeBytes: number) =>
    (await one('data directory', { redisKind: 'socket', room: async () => ({ freeBytes, sizeBytes }) })).status;
  assert.deepEqual(
    [await disk(2 * GIB, 20 * GIB), await disk(0.9 * GIB, 20 * GIB), await disk(0.4 * GIB, 4 * GIB)],
    ['ok', 'warning', 'warning'],
  );
  assert.deepEqual([await disk(20 * GIB, 4096 * GIB), await disk(9 * GIB, 4096 * GIB)], ['ok', 'warning']);
  assert.deepEqual([await disk(0.4 * GIB, GIB), await disk(0.2 * GIB, GIB)], ['ok', 'warning']);
  const shared = await diagnose({ redisKind: 'server', room: async () => ({ freeBytes: 0, sizeBytes: GIB }) });
  assert.ok(shared.every(({ name }) => name !== 'data directory'));
});

test('a queue that cannot move says why', async () => {
  const queue = (state: object) =>
    one('queue', { queue: { get: async () => ({ pausedAt: null, waiting: 0, running: 0, limits, ...state }) } });
  assert.equal((await queue({ waiting: 5, running: 2 })).status, 'ok');
  assert.match((await queue({ waiting: 5 })).found, /nothing runs although something waits/);
  assert.match((await queue({ limits: { ...limits, maxMigrations: 0 } })).remedy ?? '', /Nothing can begin/);
});

test('an installation needs somebody who runs migrations, and somebody who looks after them', async () => {
  const processes = (workers: number, schedulers: number) =>
    one('processes', { processes: async () => ({ workers, schedulers }) });
  assert.equal((await processes(1, 1)).status, 'ok');
  assert.match((await processes(0, 1)).remedy ?? '', /--role worker/);
  assert.match((await processes(2, 0)).remedy ?? '', /--role scheduler/);
});

test('where nobody knows where a VM runs, and what is left over', async () => {
  const state = {
    migrations: new Map([
      ['performing', 3],
      ['failed', 9],
    ]),
    undecided: 1,
    redisLatencyMs: 80,
  };
  const subjects = {
    readState: async () => state,
    writeRefusal: async () => undefined,
    store: { incomplete: async () => ['m_1', 'm_2', 'm_3', 'm_4', 'm_5', 'm_6'] },
  };
  const whereabouts = await one('migrations', subjects);
  assert.deepEqual(
    [whereabouts.status, whereabouts.found],
    ['failed', '3 under way; of 1 nobody knows where the VM runs'],
  );
  assert.equal((await one('redis', subjects)).status, 'warning');
  assert.match((await one('teardowns', subjects)).found, /m_5 and 1 more$/);
  const silent = async () => {
    throw new Error('no answer');
  };
  const away = { readState: async () => undefined, writeRefusal: silent };
  assert.deepEqual((await one('redis', away)).found, 'does not answer');
  const full = await one('redis', { ...subjects, writeRefusal: async () => writeRefusal('OOM command not allowed') });
  assert.deepEqual([full.status, full.found], ['failed', 'answers, but takes no writes: its memory is full (OOM)']);
  assert.match(full.remedy ?? '', /maxmemory/);
});

test('links: measured long ago, and those that no tunnel can use left out', async () => {
  const site = (id: string, gateway: object | null = {}) => ({ id, gateway });
  const link = (a: string, b: string, daysAgo: number) => ({
    ...{ id: `${a}~${b}`, sites: [a, b] },
    measurements: [{ measuredAt: inDays(-daysAgo).toISOString() }, { measuredAt: inDays(-90).toISOString() }],
  });
  const checks = await diagnose({
    sites: { list: async () => [site('a'), site('b'), site('c'), site('d', null)] },
    links: { list: async () => [link('a', 'b', 1), link('a', 'c', 45), link('a', 'd', 1)] },
  });
  const shown = checks.filter(({ name }) => name.startsWith('link ')).map(({ name, status }) => [name, status]);
  assert.deepEqual(shown, [
    ['link a~b', 'ok'],
    ['link a~c', 'warning'],
  ]);
});

test('notices that no webhook was told are said for a week, where there are webhooks', async () => {
  const all = [{ id: 'portal', disabled: null, failingSince: null }];
  const told = async (missed: { count: number; at: string | null }, list: object[] = all) =>
    (await diagnose({ webhooks: { list: async () => list }, missedNotices: async () => missed })).filter(({ name }) =>
      /webhook/.test(name),
    );
  const [lately, ...others] = await told({ count: 17, at: inDays(-1).toISOString() });
  assert.deepEqual([lately?.name, lately?.status, others], ['notices for webhooks', 'warning', []]);
  assert.match(lately?.found ?? '', /^17 were never sent/);
  const fine = { name: 'webhooks', status: 'ok' };
  for (const missed of [
    { count: 0, at: null },
    { count: 17, at: inDays(-8).toISOString() },
  ]) {
    assert.partialDeepStrictEqual(await told(missed), [fine]);
  }
  assert.partialDeepStrictEqual(await told({ count: 17, at: inDays(-1).toISOString() }, []), [fine]);
});

test('a master key that is lost is worse than one that is only old', async () => {
  const state = (keys: object[]) => ({ rotation: { state: async () => ({ source: 'file', current: 'new', keys }) } });
  const current = { id: 'new', values: 4, known: true };
  assert.equal((await one('master key', state([current]))).status, 'ok');
  assert.equal((await one('master key', state([current, { id: 'old', values: 2, known: true }]))).status, 'warning');
  const lost = await one('master key', state([current, { id: 'old', values: 2, known: false }]));
  assert.deepEqual(
    [lost.status, lost.found.split(':')[0]],
    ['failed', '2 secrets are sealed under keys that the file does not hold'],
  );
  const elsewhere = await one('master key', state([{ ...current, known: false }]));
  assert.deepEqual([elsewhere.status, elsewhere.found.split(',')[0]], ['failed', 'new seals']);
});

test('only administrators look at keys; and what breaks off or hangs is a finding, too', async () => {
  const names = (checks: Check[], status: Check['status']) =>
    checks.filter((check) => check.status === status).map(({ name }) => name);
  const keys = { apiKeys: { list: async () => [] }, rotation: { state: async () => assert.fail('asked') } };
  assert.deepEqual(names(await diagnose(keys, 'operator'), 'skipped'), ['API keys', 'master key']);
  const diagnosis = createDiagnosis(
    [
      { name: 'hangs', examine: () => new Promise(() => undefined) },
      { name: 'breaks', examine: async () => Promise.reject(new Error('MARKER')) },
      { name: 'works', examine: async () => [] },
    ],
    { patienceMs: 20 },
  );
  const checks = await diagnosis.run({ role: 'viewer' });
  assert.deepEqual(names(checks, 'failed'), ['hangs', 'breaks']);
  assert.match(checks[0]?.found ?? '', /no answer in time/);
  assert.ok(!JSON.stringify(checks).includes('MARKER'));
});

test('entries that the audit log lacks are told until the process ends', async () => {
  const check = (count: number) => one('audit log', { auditLosses: () => ({ count, lastAt: '2026-01-01T00:00:00Z' }) });
  assert.equal((await check(0)).status, 'ok');
  const { status, found, remedy } = await check(3);
  assert.deepEqual([status, found.slice(0, 10)], ['failed', '3 entries ']);
  assert.match(remedy ?? '', /log, at error/);
});
