/**
 * The orchestrator under load: thousands of migrations wait, hundreds run, and portals ask. Hypervisors are simulated; the
 * process, its API and its Redis are the real ones, with their defaults. Then it is killed and started again.
 */
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Benchmark, numberOption, readOptions } from '../benchmark.ts';
import { median, percentile } from '../statistics.ts';
import type { CallerInput, CallerResult } from './caller.ts';
import { watchProcessor } from './processor.ts';
import { Stand } from './stand.ts';

const HELP = `Usage: npm run bench -- orchestrator [options]

Submits migrations of simulated VMs, lets them run, and calls the API at a steady pace meanwhile: records, lists, the
queue, submissions, cancels. Then kills the orchestrator (SIGKILL), starts it again, and waits until what ran is taken up.

  --quick          1000 queued, 50 at once, within two minutes; without it 10000 queued and 200 at once
  --queued N       how many wait
  --concurrent N   how many run at once
  --roles          API, worker and scheduler in processes of their own, with one Redis; without it all in one
  --seconds N      how long the API is called
  --calls N        calls per second (default 50)
  --json FILE      write {p50Ms, p99Ms, queued, concurrent, rssBytes, restartPickupMs, …} as JSON
  --help           show this`;

const OPTIONS = {
  quick: { type: 'boolean', default: false },
  roles: { type: 'boolean', default: false },
  queued: { type: 'string' },
  concurrent: { type: 'string' },
  seconds: { type: 'string' },
  calls: { type: 'string', default: '50' },
  json: { type: 'string' },
} as const;

interface Plan {
  readonly queued: number;
  readonly concurrent: number;
  readonly seconds: number;
  readonly callsPerSec: number;
}

export interface OrchestratorResult {
  /** Over all calls of the measured time. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Kind of call → its share. */
  readonly byCall: Readonly<Record<string, { calls: number; p50Ms: number; p99Ms: number }>>;
  /** Waiting when the measured time began. */
  readonly queued: number;
  /** VMs on their way at the same time, median of the measured time. */
  readonly concurrent: number;
  /** The most that the process ever had resident. */
  readonly rssBytes: number;
  /** From the start of the killed orchestrator's successor until it took up the first of what had run, and the last. */
  readonly restartPickupMs: number;
  readonly restartAllMs: number;
  readonly submittedPerSec: number;
  readonly endedPerSec: number;
  readonly failures: number;
  /** Processors that the orchestrator used on average, before anybody called and meanwhile. */
  readonly coresWithoutCalls: number;
  readonly coresWithCalls: number;
  readonly cpuSecondsPer1000Calls: number;
  /** Share of the measured time in which the main thread that answers the API was ready and had no processor: a busy machine, not its doing. */
  readonly waitedForProcessorShare: number;
}

/** How long a VM moves: so that some five end, and begin, in every second for each fifty. */
const MOVE_MS = 10_000;
const SETTLE_MS = 2_000;
const WITHOUT_CALLS_MS = 5_000;
const SAMPLE_MS = 500;
const POLL_MS = 50;
const PICK_UP_WITHIN_MS = 60_000;

export const orchestratorBenchmark: Benchmark = {
  name: 'orchestrator',
  summary: 'thousands queued, hundreds at once on simulated hypervisors: API latency, memory, recovery',
  help: HELP,
  async run(args, { signal }) {
    const options = readOptions(args, OPTIONS);
    const [queued, concurrent, seconds] = options.quick ? [1_000, 50, 30] : [10_000, 200, 120];
    const plan: Plan = {
      queued: numberOption('--queued', options.queued ?? String(queued), 1, 1_000_000),
      concurrent: numberOption('--concurrent', options.concurrent ?? String(concurrent), 1, 10_000),
      seconds: numberOption('--seconds', options.seconds ?? String(seconds), 1, 3_600),
      callsPerSec: numberOption('--calls', options.calls, 1, 10_000),
    };
    await using stand = await Stand.up(plan.concurrent, { roles: options.roles });
    const result = await measure(stand, plan, signal);
    show(result);
    if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
    return 0;
  },
};

async function measure(stand: Stand, plan: Plan, signal: AbortSignal): Promise<OrchestratorResult> {
  const { world } = stand;
  console.log(`submitting ${plan.queued + plan.concurrent} migrations`);
  const submitStart = performance.now();
  const ids = await stand.submit(plan.queued + plan.concurrent, MOVE_MS, { signal });
  const submittedPerSec = (1_000 * ids.length) / (performance.now() - submitStart);
  // As many again as have ended meanwhile, so that what is measured has the length that was asked for.
  const missing = plan.queued - (await stand.waiting());
  if (missing > 0) ids.push(...(await stand.submit(missing, MOVE_MS, { signal })));
  await sleep(SETTLE_MS, undefined, { signal });
  const before = watchProcessor(stand.pids);
  await sleep(WITHOUT_CALLS_MS, undefined, { signal });
  const withoutCalls = before();
  const queued = await stand.waiting();

  console.log(`calling the API for ${plan.seconds} s, ${plan.callsPerSec} times a second`);
  const moving: number[] = [];
  const sampler = setInterval(() => moving.push(world.moving), SAMPLE_MS);
  const endedBefore = ids.length - queued;
  const meanwhile = watchProcessor(stand.pids);
  const { latenciesMs, failures } = await callApi(stand, plan, ids, signal).finally(() => clearInterval(sampler));
  const withCalls = meanwhile();
  const waitingAfter = await stand.waiting();
  for (const failure of failures.slice(0, 5)) console.error(failure);

  const rssBytes = stand.peakBytes();
  const all = Object.values(latenciesMs).flat();
  const restart = await killAndRestart(stand, signal);
  return {
    p50Ms: percentile(all, 0.5),
    p99Ms: percentile(all, 0.99),
    byCall: Object.fromEntries(
      Object.entries(latenciesMs).map(([kind, times]) => [
        kind,
        { calls: times.length, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) },
      ]),
    ),
    queued,
    concurrent: median(moving),
    rssBytes,
    ...restart,
    submittedPerSec,
    endedPerSec: (ids.length - waitingAfter - endedBefore) / plan.seconds,
    failures: failures.length,
    coresWithoutCalls: withoutCalls.cores,
    coresWithCalls: withCalls.cores,
    cpuSecondsPer1000Calls: (1_000 * (withCalls.cores - withoutCalls.cores) * plan.seconds) / all.length,
    waitedForProcessorShare: withCalls.waitedShare,
  };
}

async function callApi(stand: Stand, plan: Plan, ids: readonly string[], signal: AbortSignal): Promise<CallerResult> {
  const input: CallerInput = {
    baseUrl: stand.baseUrl,
    apiKey: stand.apiKey,
    ids,
    submission: stand.submission(0, MOVE_MS),
    callsPerSec: plan.callsPerSec,
    forMs: plan.seconds * 1_000,
  };
  const thread = new Worker(new URL('./caller.ts', import.meta.url), { workerData: input });
  const stop = () => void thread.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<CallerResult>((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', () => reject(signal.reason ?? new Error('The calling thread ended.')));
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Those that a run had taken up are taken up by another one: their records count one more run. */
async function killAndRestart(
  stand: Stand,
  signal: AbortSignal,
): Promise<Pick<OrchestratorResult, 'restartPickupMs' | 'restartAllMs'>> {
  const { client } = stand;
  const { items } = await client.listMigrations({ phase: 'performing', limit: 200 }, { signal });
  const left = new Map(items.map(({ id, runs }) => [id, runs]));
  console.log(`killing the orchestrator while ${left.size} move`);
  await stand.kill();
  const startedAt = performance.now();
  await stand.restart();
  let restartPickupMs: number | undefined;
  while (left.size > 0) {
    for (const [id, runs] of left) {
      if ((await client.getMigration(id, { signal })).runs <= runs) break; // the others are not looked at before this one
      left.delete(id);
      restartPickupMs ??= performance.now() - startedAt;
    }
    const passedMs = performance.now() - startedAt;
    if (passedMs > PICK_UP_WITHIN_MS) throw new Error(`${left.size} were not taken up within ${PICK_UP_WITHIN_MS} ms.`);
    if (left.size > 0) await sleep(POLL_MS, undefined, { signal });
  }
  const restartAllMs = performance.now() - startedAt;
  return { restartPickupMs: restartPickupMs ?? restartAllMs, restartAllMs };
}

function show(result: OrchestratorResult): void {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  console.log(`
queued            ${result.queued}
at once           ${result.concurrent}
submitted         ${result.submittedPerSec.toFixed(0)} a second
ended             ${result.endedPerSec.toFixed(1)} a second
resident memory   ${(result.rssBytes / 1e6).toFixed(0)} MB at most
after SIGKILL     first taken up ${ms(result.restartPickupMs)} after the start, all after ${ms(result.restartAllMs)}
failed calls      ${result.failures}
processors        ${result.coresWithoutCalls.toFixed(2)} without calls, ${result.coresWithCalls.toFixed(2)} with them: ${result.cpuSecondsPer1000Calls.toFixed(1)} s for 1000 calls
waited for one    ${(100 * result.waitedForProcessorShare).toFixed(0)} % of the time (others use them; on a quiet machine 0)

call            calls        p50        p99`);
  const rows = [...Object.entries(result.byCall), ['all', result] as const];
  for (const [kind, { p50Ms, p99Ms, ...rest }] of rows) {
    const calls = 'calls' in rest ? String(rest.calls) : '';
    console.log(`${kind.padEnd(14)} ${calls.padStart(6)} ${ms(p50Ms).padStart(10)} ${ms(p99Ms).padStart(10)}`);
  }
}
