import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldsOf } from '../../parts/schema-values.ts';
import { emptyDraft, inWords, requestOf, transportOf } from './draft.ts';

const complete = { ...emptyDraft, source: 'host-a', vm: 'web-1', destination: 'host-b' };

test('an incomplete draft makes no request', () => {
  assert.equal(requestOf(emptyDraft), null);
  for (const missing of ['source', 'vm', 'destination'] as const) {
    assert.equal(requestOf({ ...complete, [missing]: '' }), null);
  }
  assert.equal(requestOf({ ...complete, priority: Number.NaN }), null);
});

test('a drill says how long its copy runs; a move says that it is none', () => {
  const draft = { ...complete, drill: { keepMs: 60_000 }, networkMap: [['lan', 'isolated']] as const };
  assert.partialDeepStrictEqual(requestOf(draft), { drill: { keepMs: 60_000 }, networkMap: { lan: 'isolated' } });
  assert.equal(requestOf({ ...draft, drill: { keepMs: Number.NaN } }), null);
  assert.equal(requestOf(complete)?.drill, null);
});

test('unfinished pairs are left out of the maps', () => {
  const request = requestOf({
    ...complete,
    networkMap: [
      ['lan', 'lan-b'],
      ['', 'nowhere'],
      ['dmz', ' '],
    ],
  });
  assert.deepEqual(request?.networkMap, { lan: 'lan-b' });
  assert.deepEqual(request?.diskMap, {});
});

test('complaints of the API speak of the fields of the form, in their units', () => {
  const message = 'Too small: expected number to be >=1';
  assert.deepEqual(inWords({ path: 'maxDowntimeMs', message }), { path: 'Max downtime in ms', message });
  assert.deepEqual(inWords({ path: 'networkMap.br.lan', message }), { path: 'Networks: br.lan', message });
  assert.match(inWords({ path: 'bandwidthBytesPerSec', message }).message, /0\.01 Mbit\/s/);
  assert.deepEqual(inWords({ path: 'timeouts.queueMs', message }), {
    path: 'Time limits: In the queue',
    message: 'At least a second',
  });
  const tooBig = 'Too big: expected number to be <=86400000';
  assert.equal(inWords({ path: 'timeouts.checkingMs', message: tooBig }).message, 'At most a day');
  assert.equal(inWords({ path: 'timeouts.totalMs', message: tooBig }).message, 'At most three weeks');
  for (const path of ['', 'retries.max', 'toString']) assert.deepEqual(inWords({ path, message }), { path, message });
});

test('labels, a correlation id and the options of the plugin go along; the tunnel only where there is one', () => {
  const options = { autoConverge: 'true' };
  const draft = { ...complete, labels: [['team', 'office']] as const, correlationId: ' change-4711 ', options };
  const fields = fieldsOf({ properties: { autoConverge: { type: 'boolean' }, mode: { type: 'string' } } });
  const request = requestOf(draft, fields);
  assert.deepEqual(
    [request?.labels, request?.correlationId, request?.options, request?.tunnel],
    [{ team: 'office' }, 'change-4711', { autoConverge: true }, { suite: 'aes-256-gcm', compression: 'never' }],
  );
  assert.equal(requestOf({ ...draft, transport: 'direct' }, fields)?.tunnel, undefined);
  assert.equal(requestOf(complete)?.correlationId, null);
});

test('subflows and time limits go along only where somebody set them', () => {
  assert.deepEqual(requestOf(complete)?.timeouts, {});
  const subflows = (min: number | null, max: number | null) =>
    requestOf({ ...complete, subflows: { min, max } })?.tunnel?.subflows;
  assert.deepEqual(
    [subflows(null, null), subflows(8, 8), subflows(4, null), subflows(null, 16), subflows(4, 16)],
    [undefined, 8, { min: 4, max: 64 }, { min: 1, max: 16 }, { min: 4, max: 16 }],
  );
  assert.deepEqual(requestOf({ ...complete, timeouts: { queueMs: 60_000 } })?.timeouts, { queueMs: 60_000 });
});

test('disks alone go past the tunnel, and only they', () => {
  const before = { source: 'vc-a', destination: '', transport: 'tunnel' } as const;
  const alone = { source: 'vc-a', destination: 'vc-a' };
  assert.equal(transportOf(before, alone), 'direct');
  const corrected = { ...alone, transport: 'direct' } as const;
  assert.equal(transportOf(corrected, { source: 'vc-a', destination: 'vc-b' }), 'tunnel');
  assert.equal(transportOf(corrected, { source: 'vc-b', destination: 'vc-a' }), 'tunnel');
  assert.equal(
    transportOf({ ...before, transport: 'direct' }, { ...alone, destination: 'vc-b' }),
    'direct',
    'as chosen',
  );
  const nothing = { source: '', destination: '' };
  assert.equal(transportOf({ ...nothing, transport: 'direct' }, { ...nothing, destination: 'vc-b' }), 'direct');
});
