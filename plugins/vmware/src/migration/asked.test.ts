/** What was never answered is looked for on and on, but not for ever; and the journal knows which that is. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationContext, PluginResource } from '@lmas/plugin-api';
import { VimFault, VimSilence } from '../errors.ts';
import { ask, takeBack } from './asked.ts';

const route: PluginResource = { kind: 'route', id: 'h/1', end: 'source', data: { gateway: '10.1.0.5' } };
const askedAt = (askedAtMs: number): PluginResource => ({ ...route, data: { ...route.data, askedAtMs } });
const { signal } = new AbortController();

/** What is journalled, in order. */
function journal() {
  const written: PluginResource['data'][] = [];
  const context = {
    recordIntent: async ({ data }: PluginResource) => void written.push(data),
    assertCurrent: async () => undefined,
  } as unknown as MigrationContext;
  return { written, context };
}

test('the journal says that it was asked for before it is, and that it was answered afterwards', async () => {
  const { written, context } = journal();
  await ask(route, context, async () => assert.equal(typeof written[0]?.askedAtMs, 'number'));
  assert.deepEqual(written.slice(1), [route.data]);
});

test('a refusal is an answer, and so is a call that never left; silence is none', async () => {
  for (const [error, answers] of [
    [new VimFault('HostConfigFault', '', undefined), 1],
    [new VimSilence('unreachable', 'nobody there'), 1],
    [new VimSilence('lost', 'the connection ended'), 0],
    [new VimSilence('timeout', 'no answer'), 0],
    [new Error('the session was closed'), 0],
  ] as const) {
    const { written, context } = journal();
    await assert.rejects(
      ask(route, context, () => Promise.reject(error)),
      error,
    );
    assert.equal(written.length, 1 + answers, error.message);
  }
});

test('a refusal that is sure to have made nothing is left to whoever asked: the intent is withdrawn', async () => {
  const { written, context } = journal();
  const refusal = new VimFault('AlreadyExists', '', undefined);
  const asking = ask(
    route,
    context,
    () => Promise.reject(refusal),
    (error) => error === refusal,
  );
  await assert.rejects(asking, refusal);
  assert.equal(written.length, 1);
});

async function looksFor(resource: PluginResource, unansweredMs: number, comesAtLook = Number.POSITIVE_INFINITY) {
  let looks = 0;
  const look = async () => {
    looks += 1;
    return looks >= comesAtLook;
  };
  await takeBack(resource, look, { signal, unansweredMs });
  return looks;
}

test('what was answered is looked for once, and so is what was asked for too long ago', async () => {
  assert.equal(await looksFor(route, 60_000), 1);
  assert.equal(await looksFor(askedAt(Date.now() - 60_001), 60_000), 1);
});

test('what may still come is looked for until it has, or until it can come no more', async () => {
  assert.equal(await looksFor(askedAt(Date.now()), 60_000, 3), 3);
  assert.ok((await looksFor(askedAt(Date.now()), 600)) >= 2);
  assert.ok((await looksFor(askedAt(Date.now() + 3_600_000), 600)) >= 2, 'whoever asked has another clock');
});

test('a teardown that has to end says that it may still come', async () => {
  const ended = AbortSignal.timeout(300);
  const looking = takeBack(askedAt(Date.now()), async () => false, { signal: ended, unansweredMs: 60_000 });
  await assert.rejects(looking, { code: 'TIMEOUT', message: /route h\/1, which may still come/ });
});
