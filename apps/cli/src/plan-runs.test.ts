/** Runs of plans at the command line: what the exit code says of one, and what is sent. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { PlanRun } from '@lmas/client';
import { formatTime } from '@lmas/format';
import { evacuationInputSchema } from '../../orchestrator/src/schemas/plan.ts';
import { fakeOrchestrator } from './fake-orchestrator.ts';
import { runExitCode } from './follow-run.ts';
import { describeRun } from './output/plan-text.ts';
import { run } from './program.ts';

const ended = (phase: PlanRun['phase'], ...places: PlanRun['items'][number]['leftAt'][]) =>
  ({ phase, items: places.map((leftAt) => ({ leftAt })) }) as PlanRun;

test('a run of which nobody knows where one VM runs has exit code 5, however it ended', () => {
  assert.equal(runExitCode(ended('succeeded', null)), 0);
  assert.equal(runExitCode(ended('failed', null, 'source')), 1);
  assert.equal(runExitCode(ended('cancelled', 'source'), 'cancelled'), 0);
  for (const place of ['both', 'unknown'] as const) {
    assert.equal(runExitCode(ended('failed', 'source', place)), 5);
    assert.equal(runExitCode(ended('cancelled', place), 'cancelled'), 5);
  }
});

test('an evacuation by a file is passed on as it stands; beside it nothing else is said', async () => {
  await using fake = await fakeOrchestrator();
  const directory = mkdtempSync(join(tmpdir(), 'lmas-evacuate-'));
  try {
    const file = join(directory, 'lisbon.yaml');
    const mappings = [{ source: 'lisbon', destination: 'porto', networks: { lan: 'lan-b' } }];
    const written = {
      ...{ source: { site: 'lisbon' }, destination: { site: 'porto' }, mappings },
      migration: { convergence: 'must-finish', retries: { max: 5 } },
    };
    writeFileSync(file, JSON.stringify(written));
    const evacuate = (...args: string[]) => lmas(fake.url, 'evacuate', ...args, '--file', file);
    await evacuate();
    assert.deepEqual(fake.calls.at(-1)?.body, written);
    assert.equal(evacuationInputSchema.safeParse(fake.calls.at(-1)?.body).success, true);
    for (const args of [['host-a'], ['--to', 'host-b'], ['--stop']])
      assert.equal(await evacuate(...args), 2, args.join());
    assert.equal(fake.calls.length, 1);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test('an approval names the wave that waits, or the one that was looked at', async () => {
  await using fake = await fakeOrchestrator();
  const path = '/v1/plan-runs/r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
  const waiting = { waves: [{ state: 'done' }, { state: 'between' }, { state: 'waiting' }] };
  fake.on(`GET ${path}`, (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(waiting));
  });
  const approved = async (...args: string[]) => {
    await lmas(fake.url, 'plan', 'approve', 'r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10', ...args);
    return fake.calls.at(-1)?.body;
  };
  assert.deepEqual(await approved(), { wave: 2 });
  assert.deepEqual(await approved('--wave', '1'), { wave: 1 });
});

test('a cancel that is followed ends as wanted: a run is cancelled, a drill that was kept has shown what it has', async () => {
  const R = 'r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
  for (const { phase, keptSince, expected } of [
    { phase: 'cancelled', keptSince: null, expected: 0 },
    { phase: 'succeeded', keptSince: null, expected: 1 },
    { phase: 'succeeded', keptSince: '2026-01-01T00:00:00.000Z', expected: 0 },
    { phase: 'failed', keptSince: '2026-01-01T00:00:00.000Z', expected: 1 },
  ] as const) {
    await using fake = await fakeOrchestrator();
    const run = { id: R, phase, keptSince, items: [] };
    const body = JSON.stringify(run);
    for (const route of [`POST /v1/plan-runs/${R}/cancel`, `GET /v1/plan-runs/${R}`]) {
      fake.on(route, (_, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end(body);
      });
    }
    fake.on(`GET /v1/plan-runs/${R}/events`, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(`id: 1\ndata: ${JSON.stringify({ type: 'end', run })}\n\n`);
    });
    assert.equal(await lmas(fake.url, 'plan', 'cancel', R, '--watch', '--json'), expected, `${phase} ${keptSince}`);
  }
});

test('a run in the place of a plan is told from one, with where to look', async () => {
  await using fake = await fakeOrchestrator();
  const R = 'r_0198c9d4-5a1f-7c55-b1d2-5d3c7c1f9a10';
  const said: string[] = [];
  const stderr = { write: (text: string) => void said.push(text) };
  const code = await run(['plan', 'get', R], {
    ...{ stdout: { write: () => undefined }, stderr, stdin: process.stdin },
    interrupted: new AbortController().signal,
    env: { LMAS_URL: fake.url, LMAS_API_KEY: 'key' },
  });
  assert.deepEqual([code, fake.calls.length], [2, 0]);
  assert.match(said.join(''), new RegExp(`${R} is a run of a plan.*lmas plan status ${R}`, 's'));
});

test('a run is told with its times as people here read them, and of a VM that moves what is in doubt', () => {
  const at = '2026-01-02T10:00:00.000Z';
  const finding = { severity: 'warning', code: 'OUTCOME_UNKNOWN', message: 'Nobody knows where it runs', remedy: '' };
  const item = { wave: 0, vm: { name: 'db-1' }, source: { endpoint: 'a' }, destination: { endpoint: 'b' } };
  const of = { id: 'r', mode: 'failover', phase: 'running', pausedAt: null, cancelRequestedAt: null, createdAt: at };
  const shown = describeRun(
    {
      ...{
        ...of,
        endedAt: null,
        reverseOf: null,
        reverseOfPlan: null,
        prediction: null,
        definition: { waves: [] },
        reasons: [],
        waves: [],
      },
      message: `Wave 1 waits since ${at} for an approval.`,
      items: [{ ...item, state: 'moving', error: null, findings: [finding], startedAt: at, endedAt: null }],
    } as unknown as PlanRun,
    200,
  );
  assert.ok(shown.includes(`Wave 1 waits since ${formatTime(at)} for an approval.`), shown);
  assert.match(shown, /db-1 +a +b +moving +Nobody knows where it runs \(OUTCOME_UNKNOWN\)/);
});

function lmas(url: string, ...args: string[]): Promise<number> {
  const silent = { write: () => undefined };
  return run(args, {
    ...{ stdout: silent, stderr: silent, stdin: process.stdin },
    interrupted: new AbortController().signal,
    env: { LMAS_URL: url, LMAS_API_KEY: 'key' },
  });
}
