import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { STORE_VERSION } from './record-versions.ts';
import { readStored, readWhole, rewriteStored, writeWhole } from './stored-json.ts';

const schema = z.object({
  id: z.string(),
  request: z.strictObject({ vm: z.string(), tunnel: z.strictObject({ suite: z.string() }) }),
  progress: z.object({ percent: z.number() }).nullable(),
  labels: z.record(z.string(), z.string()).default({}),
  steps: z.array(z.object({ name: z.string() })).default([]),
});
const later = {
  ...{ id: 'x', colour: 'red', labels: { team: 'payments' } },
  request: { vm: 'web-1', taste: 1, tunnel: { suite: 'none', depth: { a: [1] } } },
  progress: { percent: 5, mood: null },
  steps: [{ name: 'first', extra: true }],
};

test('fields of a later version are not looked at, also where a request may have none', () => {
  assert.deepEqual(readStored(schema, JSON.stringify(later)), {
    ...{ id: 'x', labels: { team: 'payments' }, steps: [{ name: 'first' }] },
    request: { vm: 'web-1', tunnel: { suite: 'none' } },
    progress: { percent: 5 },
  });
});

test('they stay when the record is written again', () => {
  const { value, unknown } = readWhole(schema, JSON.stringify(later));
  const written = writeWhole({ ...value, id: 'y', progress: null, steps: [] }, unknown);
  assert.deepEqual(JSON.parse(written), { ...later, id: 'y', progress: null, steps: [] });
  assert.deepEqual(JSON.parse(rewriteStored(schema, JSON.stringify(later), value)).request, later.request);
});

test('a record without such fields is written as it is', () => {
  const { value, unknown } = readWhole(
    schema,
    JSON.stringify({ ...later, colour: undefined, ...readStored(schema, JSON.stringify(later)) }),
  );
  assert.equal(unknown, undefined);
  assert.equal(writeWhole(value, unknown), JSON.stringify(value));
});

test('what earlier versions must not read they do not find; what is for later ones only is refused here', () => {
  const { value, unknown } = readWhole(schema, JSON.stringify(later));
  const written = writeWhole(value, unknown, STORE_VERSION);
  assert.ok(!schema.safeParse(JSON.parse(written)).success, 'as versions read it that know of no such thing');
  assert.deepEqual(readWhole(schema, written), { value, unknown });
  assert.deepEqual(readStored(schema, written), value);
  const tooNew = writeWhole(value, unknown, STORE_VERSION + 1);
  assert.throws(() => readStored(schema, tooNew), { code: 'STORE_TOO_NEW' });
});

test('what does not fit otherwise is refused', () => {
  for (const wrong of [{ ...later, id: 5 }, { ...later, request: { tunnel: later.request.tunnel, taste: 1 } }, 7]) {
    assert.throws(() => readStored(schema, JSON.stringify(wrong)), z.ZodError);
  }
});
