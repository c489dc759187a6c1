/** xbzrle, as scripted daemons are asked for it, and as libvirt tells of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KvmOptions } from '../config.ts';
import { MIGRATE } from '../rpc/constants.ts';
import type { ProcedureName } from '../rpc/procedures.ts';
import type { TypedParam } from '../rpc/typed-params.ts';
import { Orchestrator } from '../testing/orchestrator.ts';
import { readXbzrle, sentShare, xbzrleHint } from './xbzrle.ts';

interface Call {
  readonly params: readonly TypedParam[];
  readonly flags: number;
}

const PHASES: readonly { readonly name: ProcedureName; readonly end: 'a' | 'b' }[] = [
  { name: 'domainMigrateBegin3Params', end: 'a' },
  { name: 'domainMigratePrepare3Params', end: 'b' },
  { name: 'domainMigratePerform3Params', end: 'a' },
];

/** Of each call that this mode makes: whether it asked for compression, and how. */
async function asked(options: Partial<KvmOptions>): Promise<string[]> {
  const world = new Orchestrator(options);
  await world.forward(await world.driver());
  world.expectOne('b');
  return PHASES.flatMap(({ name, end }) => {
    const call = world[end].args.get(name) as Call | undefined;
    if (call === undefined) return [];
    const params = call.params.filter(({ field }) => field.startsWith('compression'));
    const words = params.map(({ field, type, value }) => `${field}=${value} (${type})`);
    return [[(call.flags & MIGRATE.compressed) === 0 ? 'as it is' : 'compressed', ...words].join(', ')];
  });
}

const ON = 'compressed, compression=xbzrle (string), compression.xbzrle.cache=67108864 (ullong)';

test('direct: both ends are asked for it, in every phase that takes parameters', async () => {
  assert.deepEqual(await asked({ xbzrleCacheMib: 64 }), [ON, ON, ON]);
  assert.deepEqual(await asked({}), ['as it is', 'as it is', 'as it is']);
});

test('peer to peer: the source is, and tells the destination', async () => {
  assert.deepEqual(await asked({ mode: 'peer-to-peer', xbzrleCacheMib: 64 }), [ON]);
  assert.deepEqual(await asked({ mode: 'peer-to-peer' }), ['as it is']);
});

test('what it saved is read from the statistics of a job that had it, and of no other', () => {
  const job = (values: Record<string, number>): TypedParam[] =>
    Object.entries(values).map(([field, value]) => ({ field, type: 'ullong', value: BigInt(value) }));
  const told = { compression_cache: 4_096, compression_bytes: 7, compression_pages: 3 };
  assert.deepEqual(readXbzrle(job({ data_total: 1, ...told, compression_cache_misses: 2, compression_overflow: 1 })), {
    cacheBytes: 4_096,
    pages: 3,
    bytes: 7,
    cacheMisses: 2,
    overflow: 1,
  });
  assert.equal(readXbzrle(job({ data_total: 1 })), undefined);
});

test('how much is sent of pages: by what went since the last look, whole where they were not in the cache', () => {
  const at = (pages: number, bytes: number, cacheMisses: number) =>
    ({ cacheBytes: 1 << 26, overflow: 0, pages, bytes, cacheMisses }) as const;
  assert.equal(sentShare(undefined, undefined, 4_096), undefined);
  assert.equal(sentShare(at(0, 0, 0), undefined, 4_096), undefined, 'the first pass');
  assert.equal(sentShare(at(0, 0, 500), at(0, 0, 0), 4_096), 1, 'the second fills the cache');
  assert.equal(sentShare(at(900, 100 * 4_096, 600), at(0, 0, 500), 4_096), 0.2);
  assert.equal(sentShare(at(900, 100 * 4_096, 600), at(900, 100 * 4_096, 600), 4_096), undefined, 'nothing went');
});

test('progress has it, and keeps it where nothing went between two looks; without xbzrle there is none', async () => {
  const steps: readonly (readonly [pages: number, bytes: number, cacheMisses: number])[] = [
    [0, 0, 0],
    [0, 0, 100],
    [100, 40_960, 100],
    [100, 40_960, 100],
  ];
  const countsAt = (step: number): Record<string, number> => {
    const [pages, bytes, misses] = steps[step] ?? assert.fail('no such step');
    const counted = { compression_pages: pages, compression_bytes: bytes, compression_cache_misses: misses };
    return { compression_cache: 1 << 26, compression_overflow: 0, ...counted };
  };
  for (const [on, expected] of [
    [true, [undefined, 1, 0.1, 0.1]],
    [false, [undefined, undefined, undefined, undefined]],
  ] as const) {
    const hints = new Set<string | undefined>();
    const world = new Orchestrator(on ? { xbzrleCacheMib: 64 } : {});
    const seen: (number | undefined)[] = [];
    const through = Promise.withResolvers<void>();
    if (on) world.a.moreCounts = countsAt(0);
    world.a.onPerform = ({ finish }) => void through.promise.then(finish);
    world.onProgress = ({ sentShareOfPages, differencesOption }) => {
      hints.add(differencesOption);
      seen.push(sentShareOfPages);
      if (seen.length === steps.length) through.resolve();
      else if (on) world.a.moreCounts = countsAt(seen.length);
    };
    await world.forward(await world.driver());
    assert.deepEqual(seen.slice(0, steps.length), expected);
    assert.deepEqual([...hints], [on ? undefined : 'xbzrleCacheMib'], 'also while no share is known yet');
  }
});

test('over parallel streams nobody is told to switch it on', () => {
  assert.deepEqual(xbzrleHint({ xbzrleCacheMib: 0, parallelConnections: 4 }), {});
});
