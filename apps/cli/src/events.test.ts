/** Whoever follows everything, one policy, or a run of one: lines, JSON lines, and the exit code of Ctrl-C. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { balancingRunSchema } from '../../orchestrator/src/schemas/balancing.ts';
import { answer, type FakeOrchestrator, fakeOrchestrator } from './fake-orchestrator.ts';
import { run } from './program.ts';

/** @param until what stands on standard output when Ctrl-C is pressed */
async function lmas(fake: FakeOrchestrator, args: readonly string[], until?: string) {
  const streams = { out: '', err: '' };
  const stop = new AbortController();
  const stream = (name: 'out' | 'err') => ({
    write: (text: string) => {
      streams[name] += text;
      if (until !== undefined && streams.out.includes(until)) stop.abort();
    },
  });
  const code = await run(args, {
    ...{ stdout: stream('out'), stderr: stream('err'), stdin: process.stdin, interrupted: stop.signal },
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key', TZ: 'UTC' },
  });
  return { code, ...streams };
}

const at = '2026-01-01T00:00:00.000Z';
const NOTICES = [
  { at, type: 'phase', message: 'It is checked.', migration: { id: 'm_1', vm: { name: 'web-1' } } },
  { at, type: 'schedule', message: 'It was started.', schedule: { id: 'nightly' } },
  { at, type: 'plan-run', message: 'It has begun.', planRun: { id: 'r_1' } },
  { at, type: 'balancing', message: 'A pass was made.', balancing: { policy: 'hall-1', event: 'pass-done' } },
  { at, type: 'of-tomorrow', message: 'Nobody knows.' },
];
const stream = NOTICES.map((notice, n) => `id: ${n + 1}\ndata: ${JSON.stringify(notice)}\n\n`).join('');

test('events tells of everything until Ctrl-C, and goes on after what was heard', async () => {
  await using fake = await fakeOrchestrator();
  fake.on('GET /v1/events', (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).write(stream);
  });
  const { code, out, err } = await lmas(fake, ['events'], 'Nobody');
  assert.equal(code, 130, err);
  assert.deepEqual(
    out
      .trim()
      .split('\n')
      .map((line) => line.split('  ').slice(1).join(': ')),
    [
      ...['m_1 web-1: It is checked.', 'schedule nightly: It was started.', 'r_1: It has begun.'],
      ...['policy hall-1: A pass was made.', 'of-tomorrow: Nobody knows.'],
    ],
  );
  const json = await lmas(fake, ['events', '--json', '--after', '17'], 'Nobody');
  assert.equal(JSON.parse(json.out.split('\n')[2] ?? '').planRun.id, 'r_1');
  assert.equal(fake.calls.at(-1)?.headers['last-event-id'], '17');
});

test('Ctrl-C ends the looking at a policy as it ends every other', async () => {
  await using fake = await fakeOrchestrator();
  fake.on('GET /v1/balancing-policies/hall-1/events', (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`id: 1\ndata: ${JSON.stringify(NOTICES[3])}\n\n`);
  });
  assert.equal((await lmas(fake, ['policy', 'history', 'hall-1', '--watch'], 'A pass')).code, 130);
});

test('a pass that a schedule ordered is shown, and followed to its end', { timeout: 20_000 }, async () => {
  await using fake = await fakeOrchestrator();
  const id = 'b_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
  const of = (phase: string) => ({
    ...{ id, policy: 'hall-1', phase, pass: 7, moves: [], cancelRequestedAt: null, createdAt: at, endedAt: null },
    ...{ message: `It is ${phase}.`, code: null },
  });
  fake.on(`GET /v1/balancing-runs/${id}`, answer(200, balancingRunSchema, of('moving')));
  const shown = await lmas(fake, ['policy', 'status', id]);
  assert.equal(shown.code, 0, shown.err);
  assert.match(shown.out, /Policy +hall-1\nState +moving/);
  let looks = 0;
  fake.on(`GET /v1/balancing-runs/${id}`, (call, response) => {
    looks += 1;
    answer(200, balancingRunSchema, of(looks === 1 ? 'moving' : 'failed'))(call, response);
  });
  const { code, out } = await lmas(fake, ['policy', 'status', id, '--watch']);
  assert.equal(code, 1);
  assert.match(out, /moving: It is moving\.\n.*failed: It is failed\./);
});
