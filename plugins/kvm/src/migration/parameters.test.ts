import assert from 'node:assert/strict';
import { test } from 'node:test';
import { optionsSchema } from '../config.ts';
import { MIGRATE } from '../rpc/constants.ts';
import {
  commonParams,
  destinationFlags,
  finishParams,
  mibPerSec,
  migrationFlags,
  performParams,
  prepareParams,
  sourceFlags,
  tcpUri,
} from './parameters.ts';
import { readProgress } from './progress.ts';

const MIB = 1024 * 1024;
const options = optionsSchema.parse({ parallelConnections: 4, autoConverge: true });
const facts = {
  copiesDisks: true,
  vouched: false,
  libvirtVersion: 9_000_000,
  throttling: { initialPct: 20, incrementPct: 10 },
};

test('Prepare and Perform get different addresses, and nothing of each other', () => {
  const definitions = { live: '<live/>', persistent: '<persistent/>' };
  const common = commonParams({
    ...{ options, throttling: undefined, definitions },
    ...{ bandwidthBytesPerSec: 10 * MIB, copiedDisks: ['vda', 'vdb'] },
  });
  const fields = (params: readonly { field: string; value: unknown }[]) =>
    params.map(({ field, value }) => `${field}=${value}`);
  assert.deepEqual(fields(prepareParams(common, '<begun/>', { host: '10.0.0.2', port: 49_300 }, 49_301)), [
    ...['bandwidth=5', 'parallel.connections=4', 'migrate_disks=vda', 'migrate_disks=vdb'],
    ...['persistent_xml=<persistent/>', 'destination_xml=<begun/>', 'migrate_uri=tcp://10.0.0.2:49300'],
    ...['listen_address=10.0.0.2', 'disks_port=49301'],
  ]);
  const performed = performParams(common, { host: 'fd00::1', port: 1 }, { host: '10.9.9.9', port: 2 });
  assert.deepEqual(fields(performed).slice(-3), [
    ...['persistent_xml=<persistent/>', 'migrate_uri=tcp://[fd00::1]:1', 'disks_uri=tcp://10.9.9.9:2'],
  ]);
  const finished = fields(finishParams(performed, 'web'));
  assert.ok(
    finished.includes('destination_name=web') && !finished.some((field) => field.startsWith('destination_xml')),
  );
});

test('flags: what is for the source alone does not reach the destination', () => {
  const flags = migrationFlags(options, facts);
  assert.equal(
    flags,
    MIGRATE.live |
      MIGRATE.persistDestination |
      MIGRATE.nonSharedDisk |
      MIGRATE.synchronousWrites |
      MIGRATE.parallel |
      MIGRATE.autoConverge |
      MIGRATE.abortOnError,
  );
  assert.equal(destinationFlags(flags) & (MIGRATE.autoConverge | MIGRATE.abortOnError | MIGRATE.changeProtection), 0);
  assert.ok((sourceFlags(flags) & MIGRATE.changeProtection) !== 0);
  assert.equal(migrationFlags(options, { ...facts, libvirtVersion: 7_000_000 }) & MIGRATE.synchronousWrites, 0);
  assert.equal(migrationFlags(options, facts) & MIGRATE.unsafe, 0);
  assert.ok((migrationFlags(options, { ...facts, vouched: true }) & MIGRATE.unsafe) !== 0);
});

test('bandwidth: at least 1 MiB/s, shared by the mirrors, null is unlimited', () => {
  assert.equal(mibPerSec(1, 0), 1n);
  assert.equal(mibPerSec(100 * MIB, 0), 100n);
  assert.equal(mibPerSec(100 * MIB, 4), 25n);
  assert.equal(mibPerSec(null, 3), 8_796_093_022_207n);
  assert.equal(tcpUri({ host: '::1', port: 5 }), 'tcp://[::1]:5');
});

test('progress counts the memory that is still to come, and never falls', () => {
  const job = (values: Record<string, number>) => ({
    type: 2,
    params: Object.entries(values).map(([field, value]) => ({ field, type: 'ullong' as const, value: BigInt(value) })),
  });
  const disks = readProgress(job({ data_total: 100, data_remaining: 0, disk_total: 100 }), null, 300, 0);
  assert.deepEqual([disks?.stage, disks?.percent, disks?.bytesTotal], ['disks', 25, 400]);
  const memory = readProgress(
    job({ data_total: 400, data_remaining: 350, memory_total: 300, memory_processed: 1, disk_total: 100 }),
    ...([null, 300, 25] as const),
  );
  assert.deepEqual([memory?.stage, memory?.percent], ['memory', 25]);
  assert.equal(
    readProgress(job({ data_total: 400, data_remaining: 0, memory_total: 300 }), 'switchover', 300, 25)?.stage,
    'switchover',
  );
  assert.equal(readProgress(job({}), null, 300, 0), undefined);
  const writing = (pass: number, pages: number) =>
    readProgress(job({ data_total: 400, memory_iteration: pass, memory_dirty_rate: pages }), null, 300, 0);
  assert.equal(writing(1, 0)?.dirtyRateBytesPerSec, null, 'not measured yet');
  assert.deepEqual([writing(2, 0)?.dirtyRateBytesPerSec, writing(2, 3)?.dirtyRateBytesPerSec], [0, 3 * 4096]);
});
