/**
 * As kill.test.ts, with real gateways, put in place over a real sshd: the orchestrator is killed with SIGKILL in every step,
 * forward and back, before and after the step's effect, and started again. Then exactly one VM runs, and of the gateways no
 * process, file, control socket or connection is left. Their leases outlast the test: what is gone, somebody took away.
 */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ArmedFault, FaultKind } from '@lmas/plugin-simulated/world';
import { sshdMissing, startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { momentOf } from '../simulated/held-gateways.ts';
import { OrchestratorProcess } from './child.ts';
import { filesOf, GATEWAY_HOME, processesOf, socketsInUse, socketsOf } from './gateway-leftovers.ts';
import { type Stage, setStage, temporaryDirectory } from './harness.ts';
import { afterKill, armStep, HOLDS, nameOf, STEPS, type StepCall } from './matrix.ts';

/** Until the last thing is taken down, on a busy machine; that the VM runs within 40 s is for kill.test.ts to show. */
const LIMIT_MS = 120_000;
/** Much shorter than a lease. */
const LAST_WORDS_MS = 30_000;
const NICE = 5;
/** How long a migration may take to be in its step, on a busy machine. */
const REACH_MS = 120_000;
/** What is held in its check waits there until the last of its group is in its step: its own limit is not what is tried here. */
const CHECKING_MS = REACH_MS + LIMIT_MS;
/** Each has two gateways, and a machine is only so large. */
const AT_ONCE = 5;

// It starts many processes, and the tests beside it have leases to keep: it gives way to them, and so does what it starts.
setPriority(NICE);
const skip = sshdMissing();
const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path, {
  LMAS_TEST_REAL_GATEWAYS: directory.path,
  LMAS_GATEWAY_LEASE_MS: '300000',
  // Real processes on a busy machine take their time; what is looked for does not depend on it.
  ...{ LMAS_RUN_LEASE_MS: '20000', LMAS_SETTLE_MS: '60000', LMAS_TEARDOWN_MS: '60000' },
  // Each look at a machine is a dozen processes there.
  LMAS_REAPER_INTERVAL_MS: '10000',
});
let sshd: TestSshd;

before(async () => {
  if (skip) return;
  sshd = await startSshd();
  await orchestrator.start();
});
// The bundle stays at the machine, as everywhere: whoever tests beside this one may be starting gateways from it.
after(async () => {
  if (!skip) {
    await orchestrator[Symbol.asyncDispose]();
    await sshd[Symbol.asyncDispose]();
  }
  await directory[Symbol.asyncDispose]();
});

interface Case {
  readonly name: string;
  readonly step: StepCall;
  readonly kind: FaultKind;
}
interface Played {
  readonly stage: Stage;
  readonly hold: ArmedFault;
  readonly id: string;
  /** Of the sockets that the gateways had when the orchestrator was killed. */
  sockets: string[];
}

const isOfGateways = ({ call }: StepCall): boolean => call.startsWith('gateway.');
/**
 * Every step, by the last of its calls, and every call to a gateway: for the gateways it is the same whether another step is
 * about to begin or the one before it is over.
 */
const CASES: readonly Case[] = STEPS.filter(
  (step, i) => isOfGateways(step) || STEPS[i + 1]?.step !== step.step || STEPS[i + 1]?.isBack !== step.isBack,
).flatMap((step) =>
  HOLDS.filter((kind) => kind === 'hold-after' || step.call === 'gateway.start').map((kind) => ({
    ...{ name: `${nameOf(step)}, ${kind}`, step, kind },
  })),
);
const groups = Array.from({ length: Math.ceil(CASES.length / AT_ONCE) }, (_, i) =>
  CASES.slice(i * AT_ONCE, (i + 1) * AT_ONCE),
);

for (const group of groups) {
  /** Every case is held in its step; one kill hits them all; all recover side by side. */
  describe(`killed in ${group[0]?.name} … ${group.at(-1)?.name}`, { skip }, () => {
    const played = new Map<string, Played>();
    before(async () => {
      for (const { name, step, kind } of group) played.set(name, await play(step, kind));
      await Promise.all([...played.values()].map(({ hold, id }) => Promise.race([hold.reached, notReached(id)])));
      for (const each of played.values()) {
        each.sockets = (await Promise.all([...(await processesOf(each.id)).keys()].map(socketsOf))).flat();
      }
      await orchestrator.end('SIGKILL');
      await orchestrator.start();
      for (const { hold } of played.values()) hold.release();
    });
    after(async () => {
      for (const { stage } of played.values()) await stage[Symbol.asyncDispose]();
    });

    for (const { name, step, kind } of group) {
      test(name, async () => {
        const { stage, id, sockets } = played.get(name) ?? assert.fail();
        const isMade = ['connect', 'perform', 'confirm'].includes(step.step);
        if (isMade) assert.ok(sockets.length > 0, 'there was something to be left');
        const whole = await orchestrator.api.until(id, ({ teardown }) => teardown === 'complete', LIMIT_MS);
        stage.assertClean(whole);
        assert.deepEqual(whole.leftovers, []);
        const expected = afterKill(step, kind);
        if (expected !== undefined) assert.deepEqual([whole.phase, whole.error?.code ?? null], expected);
        await assertNothingLeft(id, sockets);
      });
    }
  });
}

test('no half of an upload is left either', { skip }, async () => {
  const files = await readdir(join(GATEWAY_HOME, 'bundles'));
  assert.deepEqual(
    files.filter((name) => name.endsWith('.tar.gz')),
    [],
  );
});

/** A question that was under way when its asker died may end a little later than everything else. */
async function assertNothingLeft(id: string, sockets: readonly string[]): Promise<void> {
  const look = async (): Promise<string[]> => {
    const { inodes, paths } = await socketsInUse();
    const open = sockets.filter((inode) => inodes.has(inode)).map((inode) => `socket ${inode}`);
    const control = paths.includes(id) ? ['a control socket'] : [];
    return [...(await processesOf(id)).values(), ...(await filesOf(id)), ...open, ...control];
  };
  let left = await look();
  for (const until = performance.now() + LAST_WORDS_MS; left.length > 0 && performance.now() < until; ) {
    await sleep(100);
    left = await look();
  }
  assert.deepEqual(left, []);
}

async function notReached(id: string): Promise<never> {
  await sleep(REACH_MS, undefined, { ref: false });
  const { phase, error, failedAttempts } = await orchestrator.api.migration(id);
  assert.fail(`its step was not reached: ${JSON.stringify({ phase, error, failedAttempts })}`);
}

async function play(step: StepCall, kind: FaultKind): Promise<Played> {
  const stage = await setStage(() => orchestrator.api, directory.path, { sshd });
  const moment = momentOf(step.call, kind);
  const hold = armStep(stage.world, { ...step, call: moment.call }, moment.kind);
  const { id } = await stage.submit({
    options: { createVolume: true, durationMs: 50 },
    timeouts: { checkingMs: CHECKING_MS },
  });
  return { stage, hold, id, sockets: [] };
}
