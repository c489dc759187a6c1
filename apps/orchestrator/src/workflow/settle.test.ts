/** A source that stands still is no ending, nor is a move that does not heed its cancel: what the plugin answers is scripted, Redis is not asked at all. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PluginError, type VmPlacement } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import { createLog } from '../log.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { settle, type Trouble } from './settle.ts';

const seen = (source: VmPlacement['source'], destination: VmPlacement['destination']): VmPlacement => ({
  ...{ source, destination, where: 'source', moving: false },
});
const moving: VmPlacement = { ...seen('running', 'stopped'), moving: true };
const cause = new PluginError('CONNECTION_LOST', 'The connection was lost.');

/** Settles with a plugin that answers each `abort` with the next placement, and the last one for ever. */
async function settleWith(
  answers: readonly VmPlacement[],
  {
    performed = true,
    settleMs = 100,
    startedAt = null,
    follow,
    because = cause,
    pointOfNoReturnAt = null,
    performingSince,
    onlyConfirmLetsGo,
    bothAnsweredAt = null,
    sighted = answers,
    whySilent,
    neverLeftPaused,
  }: {
    neverLeftPaused?: boolean;
    /** Of an end that a stand-in speaks for. */
    whySilent?: () => Error | undefined;
    performed?: boolean;
    pointOfNoReturnAt?: string | null;
    performingSince?: string;
    onlyConfirmLetsGo?: boolean;
    bothAnsweredAt?: string | null;
    /** What `locate` sees at first, and once what moved by itself is over. */
    sighted?: readonly VmPlacement[];
    settleMs?: number;
    startedAt?: string | null;
    follow?: (signal: AbortSignal) => Promise<void>;
    because?: Error;
  } = {},
) {
  const request = migrationInputSchema.parse({ vm: 'web', source: 'a', destination: 'b' });
  const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  record.migration.vm.id = 'id';
  record.migration.where = 'source';
  record.migration.startedAt = startedAt;
  record.migration.pointOfNoReturnAt = pointOfNoReturnAt;
  if (performingSince !== undefined)
    record.migration.timeline.push({ phase: 'performing', startedAt: performingSince });
  record.notes.bothAnsweredAt = bothAnsweredAt;
  if (performed)
    record.notes.prepared = { flows: [], sourceAddresses: [], state: '', onlyConfirmLetsGo, neverLeftPaused };
  const told: string[] = [];
  const events: string[] = [];
  let tries = 0;
  let isOver = false;
  const driver = {
    locate: async () => sighted[isOver ? 1 : 0],
    follow: async ({ signal }: { signal: AbortSignal }) => {
      await follow?.(signal);
      isOver = true;
    },
    abort: async (options: { performed: boolean; pastNoReturn: boolean }) => {
      assert.deepEqual([options.performed, options.pastNoReturn], [performed, pointOfNoReturnAt !== null]);
      const answer = answers[Math.min(tries, answers.length - 1)];
      tries += 1;
      return answer;
    },
  };
  const run = {
    ...record,
    ...{ log: createLog('silent'), lost: new AbortController().signal, cancelled: new AbortController().signal },
    assertCurrent: async () => undefined,
    journal: { entries: () => [], has: () => performed, unreleased: () => [] },
    update: async (change: (draft: typeof record) => void, event?: { message: string }) => {
      change(record);
      if (event === undefined) return;
      told.push(record.migration.byHand ?? '');
      events.push(event.message);
    },
  };
  const hypervisors = {
    ...{ driverOfWhoAnswers: async () => driver, survivesController: async () => follow !== undefined },
    whySilent: (end: string) => (end === 'source' ? whySilent?.() : undefined),
  };
  const bandwidth = { keep: () => ({ [Symbol.dispose]: () => undefined }) };
  const tools = { settings: { settleMs, settleRetryMs: 5, progressIntervalMs: 1_000 }, bandwidth };
  const trouble = { run, tools, hypervisors, tunnel: undefined, cause: because } as unknown as Trouble;
  return { ending: await settle(trouble), tries, told, events };
}

for (const [why, placement, where] of [
  ['the incoming guest is still held there', seen('paused', 'incoming'), 'unknown'],
  ['resuming it is refused, or another job lasts', seen('paused', 'absent'), 'source'],
] as const) {
  test(`a source that stands still is tried again until the time is up, and a person is told: ${why}`, async () => {
    const { ending, tries, told } = await settleWith([placement]);
    assert.deepEqual([ending.outcome, ending.where, ending.error?.code], ['failed', where, 'CONNECTION_LOST']);
    assert.match(
      ending.byHand ?? '',
      /^VM web is paused at the source, a\. Resume it there when b neither runs nor holds it/,
    );
    assert.ok(tries > 2, `${tries} tries`);
    assert.deepEqual(told, [ending.byHand], 'also while it lasts');
  });

  test(`and ends as if nothing had been once it is resumed: ${why}`, async () => {
    const { ending, tries } = await settleWith([placement, placement, seen('running', 'absent')], { settleMs: 10_000 });
    assert.deepEqual([ending.outcome, ending.where, ending.byHand, tries], ['failed', 'source', null, 3]);
  });
}

test('a VM that stood still before anything moved stands still for somebody else’s reason: that is an ending', async () => {
  const { ending, tries } = await settleWith([seen('paused', 'absent')], { performed: false });
  assert.deepEqual([ending.where, ending.byHand, tries], ['source', null, 1]);
});

const ago = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString();

test('after too long a silence past the point of no return it is not resumed: a person is asked at once', async () => {
  const pointOfNoReturnAt = ago(61);
  const { ending, tries } = await settleWith([seen('paused', 'absent')], { pointOfNoReturnAt });
  assert.deepEqual([ending.outcome, ending.where, ending.isOpen, tries], ['failed', 'unknown', true, 0]);
  assert.match(ending.byHand ?? '', /b says "absent".* So it is not resumed by itself/);
  assert.equal(ending.error?.cause?.code, 'CONNECTION_LOST');
});

test('where the hypervisor lets the guest go by itself, the silence counts from the beginning of the move: nobody was there to hear of the rest', async () => {
  const { ending, tries } = await settleWith([seen('paused', 'absent')], { performingSince: ago(61) });
  assert.deepEqual([ending.outcome, ending.where, ending.isOpen, tries], ['failed', 'unknown', true, 0]);
  assert.match(ending.byHand ?? '', /b says "absent".* So it is not resumed by itself/);
});

for (const [why, options] of [
  ['nothing but we can have let it go, and we have not', { performingSince: ago(300), onlyConfirmLetsGo: true }],
  ['the move began less than an hour ago', { performingSince: ago(59) }],
  ['it was seen to move since', { performingSince: ago(300), bothAnsweredAt: ago(59) }],
  ['nothing was ever set in motion', {}],
] as const) {
  test(`before the point of no return it is resumed where ${why}`, async () => {
    const { ending } = await settleWith([seen('paused', 'absent'), seen('running', 'absent')], {
      ...{ settleMs: 10_000, sighted: [seen('paused', 'absent')] },
      ...options,
    });
    assert.deepEqual([ending.where, ending.byHand], ['source', null]);
  });
}

test('who is told that it is brought to an end by itself is told until when, where the guest may have been let go', async () => {
  const silent: VmPlacement = { ...seen('unreachable', 'unreachable'), where: 'unknown' };
  for (const [options, isLimited] of [
    [{ pointOfNoReturnAt: ago(1), onlyConfirmLetsGo: true }, true],
    [{ performingSince: ago(1) }, true],
    [{ performingSince: ago(1), onlyConfirmLetsGo: true }, false],
  ] as const) {
    const { ending, told } = await settleWith([silent], options);
    for (const words of [told[0], ending.byHand]) {
      const limit = /to an end by itself \(within an hour: .* and a person is asked\)\. So before/.test(words ?? '');
      assert.equal(limit, isLimited, words ?? '');
    }
  }
});

test('a move that does not heed its cancel is waited for, and ends the migration once it is over', async () => {
  const { ending, tries, told } = await settleWith([moving, moving, seen('running', 'absent')], { settleMs: 10_000 });
  assert.deepEqual([ending.outcome, ending.where, ending.byHand, tries], ['failed', 'source', null, 3]);
  assert.match(told.join(), /could not be made sure/, 'where it will be is not known meanwhile');
});

test('a move that does not heed its cancel in time leaves unknown where the VM is: it may still arrive', async () => {
  const { ending, tries } = await settleWith([moving]);
  assert.deepEqual([ending.outcome, ending.where, ending.error?.code], ['failed', 'unknown', 'OUTCOME_UNKNOWN']);
  assert.ok(tries > 2, `${tries} tries`);
});

test('an ending that is not clear keeps the hypervisor’s own word for what went wrong', async () => {
  const native = { name: 'VM_MIGRATE_FAILED', message: 'at the last step' };
  const because = new PluginError('STREAM_FAILED', 'the source says so', { native });
  for (const placement of [moving, { ...seen('running', 'running'), where: 'both' as const }]) {
    const { error } = (await settleWith([placement], { because })).ending;
    assert.deepEqual([error?.native, error?.cause?.code], [native, 'STREAM_FAILED']);
    assert.ok(['OUTCOME_UNKNOWN', 'BOTH_RUNNING'].includes(error?.code ?? ''));
  }
});

test('a move that goes on by itself is followed for as long as it takes, and only then the time begins', async () => {
  const longer = () => new Promise<void>((resolve) => setTimeout(resolve, 150));
  const { ending } = await settleWith([moving, seen('running', 'absent')], { settleMs: 50, follow: longer });
  assert.deepEqual([ending.outcome, ending.where, ending.error?.code], ['failed', 'source', 'CONNECTION_LOST']);
});

test('a move that goes on by itself has the limit of the whole, also after a crash: past it, it is cancelled', async () => {
  const untilStopped = (signal: AbortSignal) =>
    new Promise<void>((_, reject) => {
      const stopped = () => reject(new PluginError('ABORTED', 'Stopped following.'));
      if (signal.aborted) stopped();
      signal.addEventListener('abort', stopped, { once: true });
    });
  const { ending, tries } = await settleWith([moving, seen('running', 'absent')], {
    ...{ settleMs: 10_000, startedAt: '2020-01-01T00:00:00.000Z', follow: untilStopped },
  });
  assert.deepEqual([ending.outcome, ending.where, tries], ['failed', 'source', 2]);
});

test('somebody else’s move, before ours began, is not waited for', async () => {
  const { ending, tries } = await settleWith([moving], { performed: false });
  assert.deepEqual([ending.where, ending.byHand, tries], ['source', null, 1]);
});

test('a VM that shut itself down while it was copied is at the source', async () => {
  const { ending, tries } = await settleWith([seen('stopped', 'absent')]);
  assert.deepEqual([ending.where, ending.byHand, tries], ['source', null, 1]);
});

test('what the destination has kept of a VM that stayed is told', async () => {
  const { ending, tries } = await settleWith([seen('running', 'stopped')]);
  assert.deepEqual([ending.outcome, ending.where, tries], ['failed', 'source', 1]);
  assert.match(ending.byHand ?? '', /^VM web is at the source\. b still has a definition of it/);
  const foreign = await settleWith([seen('running', 'stopped')], { performed: false });
  assert.equal(foreign.ending.byHand, null);
});

describe('only the destination is silent', () => {
  const alone: VmPlacement = { ...seen('running', 'unreachable'), where: 'unknown' };
  const certain: VmPlacement = { ...alone, where: 'source' };

  test('and nobody was asked to let the guest go: the plugin may know from the source alone, and that is an ending', async () => {
    const { ending, tries, told } = await settleWith([certain], { settleMs: 10_000, sighted: [alone] });
    assert.deepEqual([ending.outcome, ending.where, ending.error?.code], ['failed', 'source', 'CONNECTION_LOST']);
    assert.deepEqual([ending.byHand, tries, told], [null, 1, []]);
  });

  test('and the plugin cannot know: unknown, as ever', async () => {
    const { ending, tries } = await settleWith([alone]);
    assert.deepEqual([ending.where, ending.error?.code], ['unknown', 'OUTCOME_UNKNOWN']);
    assert.ok(tries > 2, `${tries} tries`);
  });

  test('what goes on by itself is followed, and not stopped', async () => {
    const { ending, tries } = await settleWith([seen('running', 'absent')], {
      ...{ settleMs: 10_000, sighted: [{ ...alone, moving: true }, seen('running', 'absent')] },
      follow: async () => undefined,
    });
    assert.deepEqual(
      [ending.outcome, ending.where, tries],
      ['failed', 'source', 1],
      'stopped by nobody before its end',
    );
  });

  test('what was cancelled is stopped at the source', async () => {
    const because = new LmasError('CANCELLED');
    const sighted = [{ ...alone, moving: true }];
    const { tries } = await settleWith([alone], { because, sighted, follow: () => assert.fail('it is not followed') });
    assert.ok(tries > 0);
  });

  for (const [why, options] of [
    ['the guest may have been let go', { pointOfNoReturnAt: '2020-01-01T00:00:00.000Z' }],
    ['the source is silent as well', { sighted: [seen('unreachable', 'unreachable')] }],
    [
      'it stands still, and may have been let go too long ago',
      { performingSince: ago(61), sighted: [{ ...alone, source: 'paused' as const }] },
    ],
    ['part of the memory is still at the source', { sighted: [{ ...alone, postCopy: 'under-way' as const }] }],
  ] as const) {
    test(`nothing is asked of the source when ${why}`, async () => {
      const { ending, tries } = await settleWith([certain], { sighted: [alone], ...options });
      assert.deepEqual([ending.where, ending.error?.code, tries], ['unknown', 'OUTCOME_UNKNOWN', 0]);
    });
  }
});

test('an end that does not answer is named, with its last error: an event for each, and the beginning of what is to be done by hand', async () => {
  const gone: VmPlacement = { ...seen('unreachable', 'stopped'), where: 'unknown' };
  let looks = 0;
  const whySilent = () => {
    looks += 1;
    if (looks === 1) return undefined;
    return new PluginError('LOGIN_REFUSED', 'a: The login was refused.');
  };
  const { ending, events } = await settleWith([gone], { whySilent });
  assert.deepEqual(events, [
    'an end does not answer; asking again: a: It does not answer.',
    'an end does not answer; asking again: a: The login was refused.',
  ]);
  assert.match(ending.byHand ?? '', /^a: The login was refused\. It could not be made sure where VM web runs/);
});

test('where the hypervisor alone starts and stops guests nobody is told to resume one', async () => {
  const gone: VmPlacement = { ...seen('unreachable', 'stopped'), where: 'unknown' };
  const wordsFor = async (neverLeftPaused: boolean) =>
    (await settleWith([gone], { neverLeftPaused, performingSince: ago(1) })).ending.byHand ?? '';
  assert.match(
    await wordsFor(false),
    /If it is paused at the source .* resume it at the source\. Never resume or start/,
  );
  const words = await wordsFor(true);
  assert.doesNotMatch(words, /paused|resume /);
  assert.match(words, /remove what is left of it at the other\. Never start it at one end before.*\(lmas done\)\.$/);
});
