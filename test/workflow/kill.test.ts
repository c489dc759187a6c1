/**
 * The orchestrator is killed with SIGKILL in every step, before and after the step's effect, and started again. Then
 * exactly one VM runs within 40 s, never two did, no gateway is left, and no migration was triggered twice.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ArmedFault, FaultKind } from '@lmas/plugin-simulated/world';
import type { Migration } from '../../apps/orchestrator/src/migrations/record.ts';
import { OrchestratorProcess } from './child.ts';
import { type Stage, setStage, temporaryDirectory } from './harness.ts';
import { HOLDS, STEPS } from './matrix.ts';

const LIMIT_MS = 40_000;

const directory = await temporaryDirectory();
const orchestrator = new OrchestratorProcess(directory.path);
after(async () => {
  await orchestrator[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

type Expected = readonly [phase: string, errorCode: string | null];
const GOES_ON: Expected = ['succeeded', null];
const ROLLED_BACK: Expected = ['failed', 'INTERRUPTED'];
/**
 * Before the hand-over the next run goes on; in it, it never begins a second migration; after it, it finishes. Where the
 * dead run's last request comes to its effect only while the next one looks around, either end is true.
 */
const EXPECTED: Record<string, (kind: FaultKind, peerToPeer: boolean) => Expected | undefined> = {
  check: () => GOES_ON,
  provision: () => GOES_ON,
  prepare: () => ROLLED_BACK,
  connect: () => ROLLED_BACK,
  perform: (kind, peerToPeer) => (peerToPeer ? (kind === 'hold-after' ? GOES_ON : undefined) : ROLLED_BACK),
  confirm: (kind) => (kind === 'hold-after' ? GOES_ON : undefined),
  teardown: () => GOES_ON,
};

interface Case {
  readonly name: string;
  readonly commits: boolean;
  readonly stage: Stage;
  readonly hold: ArmedFault;
  readonly submitted: Migration;
}

/** Every case is held in its step; one kill hits them all; all recover side by side. */
describe('killed in a step', () => {
  const cases = new Map<string, Case>();
  let restartedAt = 0;

  before(async () => {
    await orchestrator.start();
    for (const { step, call, commits } of STEPS) {
      for (const kind of HOLDS) {
        for (const peerToPeer of step === 'perform' ? [false, true] : [false]) {
          const name = `${step}: ${call}, ${kind}${peerToPeer ? ', peer to peer' : ''}`;
          const stage = await setStage(() => orchestrator.api, directory.path);
          const hold = stage.world.faults.arm(call, kind);
          const options = { createVolume: true, durationMs: 50, peerToPeer };
          const submitted = await stage.submit({ options });
          cases.set(name, { name, commits, stage, hold, submitted });
        }
      }
    }
    await Promise.all([...cases.values()].map(({ hold }) => hold.reached));
    await orchestrator.end('SIGKILL');
    await orchestrator.start();
    restartedAt = performance.now();
    // What the dead process had under way at the far end goes on there, while the new one recovers.
    setTimeout(() => {
      for (const { hold } of cases.values()) hold.release();
    }, 50);
  });
  after(async () => {
    for (const { stage } of cases.values()) await stage[Symbol.asyncDispose]();
  });

  for (const { step, call } of STEPS) {
    for (const kind of HOLDS) {
      for (const peerToPeer of step === 'perform' ? [false, true] : [false]) {
        const name = `${step}: ${call}, ${kind}${peerToPeer ? ', peer to peer' : ''}`;
        test(name, async () => {
          const found = cases.get(name);
          assert.ok(found !== undefined);
          const { stage, submitted } = found;
          const ended = await orchestrator.api.ended(submitted.id, LIMIT_MS);
          assert.ok(performance.now() - restartedAt < LIMIT_MS);
          const whole = await orchestrator.api.until(
            submitted.id,
            ({ teardown }) => teardown === 'complete' || teardown === 'not-needed',
          );
          stage.assertClean(whole);
          assert.equal(whole.phase, ended.phase);
          assert.ok(whole.runs >= 2 || step === 'teardown', `runs: ${whole.runs}`);
          const expected = EXPECTED[step]?.(kind, peerToPeer);
          if (expected !== undefined) {
            assert.deepEqual([whole.phase, whole.error?.code ?? null], expected);
          }
        });
      }
    }
  }
});
