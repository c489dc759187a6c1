/**
 * A host of plain Xen that is lost in each step that a migration takes there, with its answer or before it: the one that takes it up again
 * brings the guest to the end where it belongs, and leaves nothing.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startSshd, type TestSshd } from '../../packages/ssh/src/testing/sshd.ts';
import { DOM0_SSHD, xlMissing } from '../compliance/xl-world.ts';
import type { Fault, Point } from '../lab/xl/host.ts';
import { type End, Play, type Step } from './xl-play.ts';

/** The receiver hangs, with a sender that is gone; and a sender that is gone when it has renamed its guest. */
const HALF_RECEIVED = [
  ['source', 'all-sent', 'die'],
  ['destination', 'created', 'hang'],
] as const;
const RENAMED = [['source', 'given-name', 'die']] as const;

const LOSSES: readonly {
  readonly step: Step;
  readonly armed: readonly (readonly [End, Point, Fault])[];
  readonly expected: End | { readonly done: End; readonly undone: End };
}[] = [
  { step: { verb: 'receive' }, armed: [], expected: 'source' },
  { step: { verb: 'send' }, armed: [], expected: { done: 'destination', undone: 'source' } },
  { step: { verb: 'stop' }, armed: HALF_RECEIVED, expected: 'source' },
  { step: { verb: 'discard' }, armed: HALF_RECEIVED, expected: 'source' },
  { step: { verb: 'act', of: 'resume' }, armed: HALF_RECEIVED, expected: 'source' },
  { step: { verb: 'act', of: 'rename' }, armed: RENAMED, expected: 'source' },
  { step: { verb: 'clear' }, armed: RENAMED, expected: 'source' },
  { step: { verb: 'act', of: 'unpause' }, armed: [['destination', 'renamed', 'die']], expected: 'destination' },
  { step: { verb: 'act', of: 'destroy' }, armed: [['source', 'reported', 'die']], expected: 'destination' },
];

describe('a host that is lost in a migration with xl', { skip: xlMissing(), timeout: 240_000, concurrency: 2 }, () => {
  let sshd: TestSshd;
  before(async () => {
    sshd = await startSshd(DOM0_SSHD);
  });
  after(() => sshd[Symbol.asyncDispose]());

  for (const { step, armed, expected } of LOSSES) {
    for (const isDone of [true, false]) {
      const end = typeof expected === 'string' ? expected : expected[isDone ? 'done' : 'undone'];
      const what = `${step.verb} ${step.of ?? ''}`.trim();
      test(`the host is lost ${isDone ? 'with its answer to' : 'before'} "${what}": it runs at the ${end}`, async () => {
        await using play = await Play.make(sshd);
        for (const [where, point, fault] of armed) play.hostOf(where).host.arm(point, fault);
        const { driver, lost } = await play.losing(step, isDone);
        await play
          .begin(play.signal, driver)
          .then(async ({ performing }) => void (await performing))
          .then(() => play.recover(driver))
          .catch(() => undefined);
        assert.ok(lost(), 'it came to that step');
        assert.equal(await play.recover(), end);
        play.assertTidyAt(end);
      });
    }
  }
});
