import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadBetween } from './load.ts';

const HEAD =
  'Name                                        ID   Mem VCPUs\tState\tTime(s)   UUID                            Reason-Code\tSecurity Label';
const uuidOf = (last: number): string => `5b1c6b5e-8f0e-4a53-9f0d-4f2f0f3ab00${last}`;
/** As printf of list_domains writes it. */
const line = (domid: number, name: string, seconds: number, uuid: string, state = '-b----', reason = '-'): string =>
  `${name.padEnd(40)} ${String(domid).padStart(5)}  1024     2     ${state}  ${seconds.toFixed(1).padStart(8)} ${uuid} ${reason.padStart(8)}                -`;
const sample = (at: number, lines: readonly string[], traffic: Readonly<Record<string, number>> = {}) => ({
  ...{ at, list: `${[HEAD, ...lines].join('\n')}\n`, traffic },
});
const DOM0 = '00000000-0000-0000-0000-000000000000';

test('processor time and traffic between two looks, per second; what Dom0 does counts for the host alone', () => {
  const before = [line(0, 'Domain-0', 100, DOM0, 'r-----'), line(7, 'web server 2', 10, uuidOf(1))];
  const after = [line(0, 'Domain-0', 101, DOM0, 'r-----'), line(7, 'web server 2', 13, uuidOf(1), 'r-----')];
  const load = loadBetween(sample(50, before, { 7: 1_000 }), sample(52, after, { 7: 5_000 }));
  assert.deepEqual(load, {
    intervalMs: 2_000,
    host: { cpuCores: 2 },
    vms: [
      {
        ...{ id: uuidOf(1), cpuCores: 1.5, memoryBytes: 1024 ** 3, networkBytesPerSec: 2_000 },
        dirtyRateBytesPerSec: null,
      },
    ],
  });
});

test('who came, went, or took the id of another one is left out; a copy that comes in is no guest; what nobody counts is null', () => {
  const before = [
    line(1, 'went', 5, uuidOf(1)),
    line(2, 'before', 5, uuidOf(2)),
    line(3, 'stays', 5, uuidOf(3)),
    line(4, 'half--incoming', 5, uuidOf(4), '------'),
    line(5, 'stands', 5, uuidOf(5), '--p---'),
  ];
  const after = [
    line(2, 'another', 9, uuidOf(6)),
    line(3, 'stays', 4.9, uuidOf(3)),
    line(4, 'half--incoming', 5, uuidOf(4), '------'),
    line(5, 'stands', 5, uuidOf(5), '--p---'),
    line(8, 'came', 1, uuidOf(7)),
  ];
  const { vms, host } = loadBetween(sample(0, before, { 2: 7 }), sample(1, after, { 2: 9 }));
  assert.deepEqual(
    vms.map(({ id, cpuCores, networkBytesPerSec }) => [id, cpuCores, networkBytesPerSec]),
    [[uuidOf(3), 0, null]],
  );
  assert.equal(host.cpuCores, 0);
});
