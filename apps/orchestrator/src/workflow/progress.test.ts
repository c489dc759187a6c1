/** What is told of a migration under way, with run and clock played. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { MigrationProgress } from '@lmas/plugin-api';
import type { Tunnel } from '../gateways/tunnel.ts';
import { newMigrationId, newRecord } from '../migrations/record.ts';
import { migrationInputSchema } from '../schemas/migration.ts';
import { ProgressReporter } from './progress.ts';
import type { Run } from './run.ts';

type Options = ConstructorParameters<typeof ProgressReporter>[4];

/** The record of a migration whose allowed downtime is 100 ms, once what its hypervisor has said is in it. */
async function recordedOf(
  progress: Partial<MigrationProgress>,
  { shareBytesPerSec, options, tunnel }: { shareBytesPerSec?: number; options?: Options; tunnel?: object } = {},
) {
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b', maxDowntimeMs: 100 });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  if (shareBytesPerSec !== undefined) migration.bandwidthShareBytesPerSec = shareBytesPerSec;
  const told = Promise.withResolvers<void>();
  const run = {
    ...{ id: migration.id, migration, lost: new AbortController().signal },
    report: (change: (draft: { migration: typeof migration }) => void) => {
      change({ migration });
      told.resolve();
    },
  } as unknown as Run;
  const pair = tunnel === undefined ? undefined : ({ stats: async () => tunnel } as unknown as Tunnel);
  using reporter = new ProgressReporter(run, pair, 1, () => undefined, options);
  const moving = { stage: 'memory', percent: 50, bytesTotal: 9e6, bytesTransferred: 6e6, bytesRemaining: 2e6 };
  reporter.report({ ...moving, ...progress } as MigrationProgress);
  await told.promise;
  return migration.progress;
}

test('the outlook is judged by the policy and the share that hold now, not by the request', async () => {
  const rates = { iteration: 2, dirtyRateBytesPerSec: 500_000, rateBytesPerSec: 1e9 };
  const options = { changes: { get: async () => ({ maxDowntimeMs: 3_000 }) } };
  const progress = await recordedOf(rates, { shareBytesPerSec: 1_000_000, options });
  assert.match(progress?.outlook?.message ?? '', /fits into the allowed downtime/);
  assert.equal(progress?.outlook?.verdict, 'converges');
});

test('that pages go as differences is heeded by the outlook, and no number of the record', async () => {
  const rates = { iteration: 3, dirtyRateBytesPerSec: 3e6, rateBytesPerSec: 1e6, sentShareOfPages: 0.1 };
  const progress = await recordedOf(rates);
  assert.equal(progress?.outlook?.verdict, 'converges');
  assert.ok(!('sentShareOfPages' in (progress ?? {})));
});

test('what would make the hypervisor send differences is said with the outlook, and is no field of the record', async () => {
  const rates = { iteration: 3, dirtyRateBytesPerSec: 3e6, rateBytesPerSec: 1e6, differencesOption: 'someOption' };
  const progress = await recordedOf(rates);
  assert.match(progress?.outlook?.advice ?? '', /send differences \(option someOption/);
  assert.ok(!('differencesOption' in (progress ?? {})));
});

test('the outlook is there from the first pass on where the checks have measured the dirty rate', async () => {
  const first = { percent: 1, bytesTransferred: 1e5, bytesRemaining: 8.9e6, iteration: 1 };
  const rates = { dirtyRateBytesPerSec: null, rateBytesPerSec: 1e6 };
  const verdicts: (string | undefined)[] = [];
  for (const options of [{}, { dirtyRateBytesPerSec: 2e6 }]) {
    const progress = await recordedOf({ ...first, ...rates }, { options });
    assert.equal(progress?.dirtyRateBytesPerSec, null, 'what the hypervisor has not measured is not told as its own');
    verdicts.push(progress?.outlook?.verdict);
  }
  assert.deepEqual(verdicts, ['unknown', 'diverges']);
});

test('where the hypervisor tells no rate, it is what goes through the tunnel, and so is the time that is left', async () => {
  const now = { sendBitsPerSec: 16e6, compressionRatio: 2, linkBitsPerSec: 1e9 };
  const silent = { iteration: null, dirtyRateBytesPerSec: null, rateBytesPerSec: null };
  const rates = async (told: Partial<MigrationProgress>, tunnel?: object) => {
    const progress = await recordedOf(told, tunnel === undefined ? {} : { tunnel });
    return [progress?.rateBytesPerSec, progress?.etaMs];
  };
  assert.deepEqual(await rates(silent, { bytesDelivered: 1, now }), [2e6, 1_000]);
  assert.deepEqual(await rates(silent, { bytesDelivered: 1, now: { ...now, sendBitsPerSec: 0 } }), [0, null]);
  assert.deepEqual(await rates(silent, { bytesDelivered: 1, now: null }), [null, null]);
  assert.deepEqual(await rates(silent), [null, null]);
  const told = { ...silent, rateBytesPerSec: 1e6 };
  assert.deepEqual(await rates(told, { bytesDelivered: 1, now }), [1e6, 2_000], 'what it tells counts');
});

test('what the tunnel delivers is progress, whatever the hypervisor counts; what keeps connections alive is none', async () => {
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const run = { migration, lost: new AbortController().signal, report: () => undefined } as unknown as Run;
  const delivered = [100, 200, 300, 5 << 20, (5 << 20) + 100, (5 << 20) + 200];
  const advancedAt: number[] = [];
  const done = Promise.withResolvers<void>();
  let looks = 0;
  const tunnel = {
    stats: async () => {
      const bytesDelivered = delivered[looks] ?? 0;
      looks += 1;
      if (looks === delivered.length) done.resolve();
      return { bytesDelivered };
    },
  } as unknown as Tunnel;
  using _reporter = new ProgressReporter(run, tunnel, 1, () => advancedAt.push(looks));
  await done.promise;
  assert.deepEqual(advancedAt, [4]);
});

test('a Redis that does not say what was asked for ends no process, neither while a migration moves nor when it is over', async (t) => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => void unhandled.push(reason);
  process.on('unhandledRejection', note);
  t.after(() => process.off('unhandledRejection', note));
  const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
  const { migration } = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
  const warned: unknown[] = [];
  const log = { warn: (_: object, text: string) => void warned.push(text) };
  const run = { id: migration.id, migration, lost: new AbortController().signal, log } as unknown as Run;
  const answers: PromiseWithResolvers<never>[] = [];
  const asked: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()];
  const get = () => {
    asked[answers.length]?.resolve();
    const answer = Promise.withResolvers<never>();
    answers.push(answer);
    return answer.promise;
  };
  const reporter = new ProgressReporter(run, undefined, 1, () => undefined, { changes: { get } });
  reporter.report({ stage: 'memory', percent: 50, bytesTotal: 9, bytesTransferred: 6 } as MigrationProgress);
  await asked[0]?.promise;
  answers[0]?.reject(new Error('Connection is closed.'));
  await asked[1]?.promise;
  reporter[Symbol.dispose]();
  answers[1]?.reject(new Error('Connection is closed.'));
  await turn(); // unhandled rejections are told before it
  assert.deepEqual([unhandled, warned.length], [[], 1]);
});

test('a long move is no silence: what moves before our eyes is noted, and what was found at first is not', async () => {
  const ago = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
  const isNew = (at: string | null) => Date.parse(at ?? '') > Date.now() - 10_000;
  for (const [answeredAt, onlyConfirmLetsGo, noted] of [
    [ago(59), false, true],
    [ago(61), false, false],
    [ago(59), true, false],
  ] as const) {
    for (const by of ['hypervisor', 'tunnel'] as const) {
      const request = migrationInputSchema.parse({ vm: 'v', source: 'a', destination: 'b' });
      const record = newRecord(newMigrationId(), request, { source: 'x', destination: 'y' }, []);
      record.migration.timeline.push({ phase: 'performing', startedAt: ago(300) });
      record.notes.bothAnsweredAt = answeredAt;
      record.notes.prepared = { flows: [], sourceAddresses: [], state: '', onlyConfirmLetsGo };
      const reports = new EventEmitter();
      const run = {
        ...{ id: record.migration.id, migration: record.migration, lost: new AbortController().signal },
        report: (change: (draft: typeof record) => void) => {
          change(record);
          reports.emit('report');
        },
      } as unknown as Run;
      let bytesDelivered = 5 << 20;
      const tunnel = by === 'tunnel' ? ({ stats: async () => ({ bytesDelivered }) } as unknown as Tunnel) : undefined;
      using reporter = new ProgressReporter(run, tunnel, 1, () => undefined);
      const progress = { stage: 'memory', bytesTotal: 9e6, bytesTransferred: 6e6, bytesRemaining: 2e6, iteration: 1 };
      const move = (percent: number) => reporter.report({ ...progress, percent } as MigrationProgress);
      if (by === 'hypervisor') move(50);
      await once(reports, 'report');
      assert.equal(record.notes.bothAnsweredAt, answeredAt, 'what had moved before');
      const next = once(reports, 'report');
      if (by === 'hypervisor') move(51);
      else bytesDelivered += 2 << 20;
      await next;
      assert.equal(isNew(record.notes.bothAnsweredAt), noted, `${by}, ${answeredAt}, ${onlyConfirmLetsGo}`);
    }
  }
});

test('when next to nothing moves, no time is told that is left', async () => {
  for (const [rateBytesPerSec, etaMs] of [
    [1, null],
    [0, null],
    [20_000, 100_000],
  ] as const) {
    const progress = await recordedOf({ iteration: null, dirtyRateBytesPerSec: null, rateBytesPerSec });
    assert.deepEqual([progress?.rateBytesPerSec, progress?.etaMs], [rateBytesPerSec, etaMs]);
  }
});
