/** `lmas policy` against a real orchestrator, from adding a policy to removing it. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Orchestrator } from '../../apps/orchestrator/src/main.ts';
import { Api, setStage, startInProcess, temporaryDirectory } from './harness.ts';

const BINARY = fileURLToPath(new URL('../../apps/cli/bin/lmas.mjs', import.meta.url));
const directory = await temporaryDirectory();
let orchestrator: Orchestrator;
before(async () => {
  orchestrator = await startInProcess(directory.path);
});
after(async () => {
  await orchestrator.stop();
  await directory[Symbol.asyncDispose]();
});

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const environment = () => ({
  ...{ PATH: process.env.PATH ?? '', LMAS_URL: orchestrator.url },
  ...{ LMAS_DATA_DIR: directory.path, TZ: 'UTC' },
});

function lmas(...args: readonly string[]): Promise<Ended> {
  const env = environment();
  return new Promise((resolve) => {
    execFile(process.execPath, [BINARY, ...args], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, out, err }),
    );
  });
}

async function must(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await lmas(...args);
  assert.equal(code, 0, `lmas ${args.join(' ')}: ${out}${err}`);
  return out;
}

test('a policy is added, explains itself, proposes, is answered, paused and removed', async () => {
  const api = await Api.of(orchestrator);
  await using stage = await setStage(() => api, directory.path);
  stage.world.setUse(stage.vmId, { cpuCores: 30 });
  stage.world.addVm('source', { id: 'beside', name: 'beside', cpuCores: 29 });
  const ends = ['--endpoint', stage.source, '--endpoint', stage.destination];
  const quick = ['measureMs=200', 'confirmPasses=1', 'memory.weight=0', 'rules.pinned=["besid*"]'];
  const set = quick.flatMap((setting) => ['--set', setting]);
  const refused = await lmas('policy', 'add', 'hall', ...ends, '--set', 'cpu.low=0.9', '--set', 'maxConcurrent=7');
  assert.notEqual(refused.code, 0);
  assert.match(refused.err, /low \(0\.9\) has to be below high[\s\S]*More at once/);
  assert.match(await must('policy', 'add', 'hall', ...ends, ...set), /^Policy hall added: propose\.$/m);
  assert.match(await must('policy', 'list'), /hall +propose +.*works/);
  assert.match(await must('policy', 'get', 'hall'), /confirmPasses +1/);
  assert.match(await must('policy', 'run', 'hall'), /goes from .*-source to .*-destination, which gains/);
  const history = await must('policy', 'history', 'hall', '--why', '--limit', '1');
  assert.match(history, /^Pass \d+, [\s\S]*-destination \(processor 0 %\) is not too busy\.$/m);
  assert.match(await firstHeard(api), /^[\d:]+ {2}pass-done {2}Pass \d+ proposes 1 move\.$/);
  const [at, window] = [
    ['--cron', '0 2 * * *'],
    ['--window', 'mon-fri 01:00-05:00'],
  ];
  assert.match(
    await must('schedule', 'add', 'level', '--policy', 'hall', ...at, ...window),
    /Starts +a pass of policy hall/,
  );
  const both = await lmas('schedule', 'add', 'level', '--policy', 'hall', '--plan', 'p', ...at);
  assert.deepEqual([both.code, /cannot be used with/.test(both.err)], [2, true], both.err);
  await must('schedule', 'remove', 'level');
  const proposals = JSON.parse(await must('policy', 'proposals', 'hall', '--json')) as { items: { id: string }[] };
  assert.equal(proposals.items.length, 1);
  assert.match(
    await must('policy', 'approve', 'hall', proposals.items[0]?.id ?? ''),
    /submitted\.\n +Follow it: +lmas get m_/,
  );
  const { items } = await api.must<{ items: { id: string }[] }>('GET', '/v1/migrations');
  assert.equal((await api.ended(items[0]?.id ?? '')).phase, 'succeeded');
  assert.match((await lmas('policy', 'proposals', 'hall')).err, /Nothing waits for an answer/);
  assert.match(await must('policy', 'proposals', 'hall', '--all'), /submitted|ended/);
  assert.match(await must('policy', 'pause', 'hall'), /paused since/);
  const paused = await lmas('policy', 'run', 'hall');
  assert.match(paused.err, /is paused/);
  assert.match(await must('policy', 'resume', 'hall'), /works/);
  assert.match(await must('policy', 'remove', 'hall'), /removed/);
  assert.equal(JSON.parse(await must('policy', 'list', '--json')).items.length, 0);
});

/** What `policy history --watch` prints first, while passes are made. */
async function firstHeard(api: Api): Promise<string> {
  const watching = spawn(process.execPath, [BINARY, 'policy', 'history', 'hall', '--watch'], {
    env: environment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(watching, 'exit');
  try {
    let line: string | undefined;
    createInterface({ input: watching.stdout }).once('line', (first) => {
      line = first;
    });
    // It begins with what happens once it has connected: so something happens until it has heard of it.
    while (line === undefined && watching.exitCode === null) await api.must('POST', '/v1/balancing-policies/hall/run');
    watching.kill('SIGINT');
    assert.deepEqual(await exited, [130, null], 'as of everything that is watched');
    return line ?? '';
  } finally {
    watching.kill('SIGKILL');
  }
}
