import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withPatience } from './patience.ts';

const URL = 'http://192.0.2.1:7070/v1/migrations/m_1';

test('who waits is told for what, once; an answer in time needs no word', async () => {
  const said: string[] = [];
  const spoken = Promise.withResolvers<void>();
  const say = (text: string) => {
    said.push(text);
    spoken.resolve();
  };
  const late = withPatience(() => spoken.promise.then(() => new Response('late')), say, { afterMs: 1 });
  assert.equal(await (await late(new Request(URL))).text(), 'late');
  assert.deepEqual(said, ['Still waiting for http://192.0.2.1:7070 …']);
  const quick = withPatience(async () => new Response('quick'), say, { afterMs: 60_000 });
  assert.equal(await (await quick(URL)).text(), 'quick');
  assert.equal(said.length, 1);
});

test('a request that fails says nothing afterwards', async () => {
  const said: string[] = [];
  const failing = withPatience(
    () => Promise.reject(new TypeError('fetch failed')),
    (text) => said.push(text),
    {
      afterMs: 5,
    },
  );
  await assert.rejects(failing(URL), TypeError);
  await new Promise((resolve) => setTimeout(resolve, 20)); // longer than the patience
  assert.deepEqual(said, []);
});

test('an event stream is left alone', async () => {
  const said: string[] = [];
  const { promise, resolve } = Promise.withResolvers<Response>();
  const streaming = withPatience(
    () => promise,
    (text) => said.push(text),
    { afterMs: 1 },
  )(`${URL}/events`);
  setTimeout(() => resolve(new Response('')), 20); // longer than the patience
  await streaming;
  assert.deepEqual(said, []);
});
