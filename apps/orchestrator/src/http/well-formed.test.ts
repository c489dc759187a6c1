import assert from 'node:assert/strict';
import { test } from 'node:test';
import Fastify from 'fastify';
import { installProblems } from './problems.ts';
import { illFormedIn, refuseIllFormed } from './well-formed.ts';

test('half of a surrogate pair is refused wherever it stands, each place by name; whole ones are text', async () => {
  const app = Fastify();
  installProblems(app);
  refuseIllFormed(app);
  app.post('/', async () => ({ fine: true }));
  const ask = (body: string) =>
    app.inject({ method: 'POST', url: '/', body, headers: { 'content-type': 'application/json' } });
  assert.equal((await ask('{"vm":"\\ud83d\\ude00"}')).statusCode, 200);
  const refused = await ask('{"vm":"\\ud800","labels":{"a":["x","\\udfff"],"\\ud800":"b"}}');
  assert.equal(refused.statusCode, 400);
  const { code, errors } = refused.json();
  assert.equal(code, 'INVALID_REQUEST');
  assert.deepEqual(errors.map(({ path }: { path: string }) => path).sort(), ['labels.a.1', 'labels.\ufffd', 'vm']);
  await app.close();
});

test('100 deep is fine, more is refused; a body that is as deep as it is long takes no stack and no time', () => {
  const nested = (depth: number) => JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
  assert.deepEqual([...illFormedIn(nested(100))], []);
  for (const depth of [101, 100_000]) {
    const [issue, ...others] = illFormedIn(nested(depth));
    assert.deepEqual(others, []);
    assert.match(issue?.path ?? '', /^0(\.0){99}$/);
    assert.match(issue?.message ?? '', /more than 100 deep/);
  }
});
