/** That the lab's pool would not get away with an answer that no pool gives. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault } from './fault.ts';
import { assertAnswers, assertFits } from './signatures.ts';

const ref = 'OpaqueRef:1';
const vm = { uuid: 'u', name_label: 'shop', power_state: 'Running', other_config: {}, VBDs: [ref] };
const events = { token: '1', valid_ref_counts: { vm: 1 } };
const head = { id: '0', timestamp: '0.0', class: 'vm', ref };

const right: readonly (readonly [method: string, answer: unknown])[] = [
  ['VM.get_record', vm],
  ['VM.get_all_records', { [ref]: vm }],
  ['VM.query_data_source', 'NaN'],
  ['Async.VM.migrate_send', ref],
  ['VM.assert_can_migrate', ''],
  ['host.get_servertime', '20261129T16:22:00Z'],
  ['event.from', { ...events, events: [{ ...head, operation: 'del' }] }],
  ['event.from', { ...events, events: [{ ...head, operation: 'mod', snapshot: vm }] }],
];
for (const [method, answer] of right) {
  test(`${method}: ${JSON.stringify(answer).slice(0, 60)} is published`, () => assertAnswers(method, answer));
}

const wrong: readonly (readonly [what: string, method: string, answer: unknown])[] = [
  ['a field that is not published', 'VM.get_record', { ...vm, state: 'up' }],
  ['a number where text is', 'VM.get_record', { ...vm, uuid: 7 }],
  ['a state that there is not', 'VM.get_record', { ...vm, power_state: 'Running!' }],
  ['no reference', 'VM.get_record', { ...vm, VBDs: ['1'] }],
  ['one record where all are asked for', 'VM.get_all_records', vm],
  ['a result where there is none', 'VM.assert_can_migrate', true],
  ['the result of a task instead of the task', 'Async.VM.pool_migrate', ''],
  ['a time in words', 'host.get_servertime', 'noon'],
  ['a snapshot of what is gone', 'event.from', { ...events, events: [{ ...head, operation: 'del', snapshot: vm }] }],
  ['a change without a snapshot', 'event.from', { ...events, events: [{ ...head, operation: 'mod' }] }],
  ['a class that there is not', 'event.from', { ...events, events: [{ ...head, class: 'Guest', operation: 'del' }] }],
  ['a count in words', 'event.from', { ...events, events: [], valid_ref_counts: { vm: 'one' } }],
];
for (const [what, method, answer] of wrong) {
  test(`${method} with ${what} is nobody’s answer`, () => {
    assert.throws(() => assertAnswers(method, answer));
  });
}

test('parameters: too few, too many, of another type, of a call that there is not', () => {
  const faults: readonly (readonly [code: string, method: string, params: readonly unknown[]])[] = [
    ['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.pool_migrate', [ref]],
    ['MESSAGE_PARAMETER_COUNT_MISMATCH', 'VM.get_all', [ref]],
    ['FIELD_TYPE_ERROR', 'VM.pool_migrate', [ref, ref, { live: true }]],
    ['MESSAGE_METHOD_UNKNOWN', 'VM.move', [ref]],
    ['MESSAGE_METHOD_UNKNOWN', 'guest.get_all', []],
  ];
  for (const [code, method, params] of faults) {
    assert.throws(
      () => assertFits(method, params, { api: 2_021, xapi: 26_015 }),
      (error) => error instanceof Fault && error.code === code,
    );
  }
});

test('parameters of later releases are a mismatch to earlier ones', () => {
  const first = [ref, {}, true, {}, {}, {}];
  const releases = [
    { api: 2_007, xapi: 1_027, takes: 6 },
    { api: 2_021, xapi: 25_006, takes: 7 },
    { api: 2_021, xapi: 26_015, takes: 8 },
  ];
  for (const { takes, ...release } of releases) {
    for (const count of [6, 7, 8]) {
      const call = () => assertFits('VM.migrate_send', [...first, {}, {}].slice(0, count), release);
      if (count <= takes) call();
      else assert.throws(call, (error) => error instanceof Fault && error.code === 'MESSAGE_PARAMETER_COUNT_MISMATCH');
    }
  }
});
