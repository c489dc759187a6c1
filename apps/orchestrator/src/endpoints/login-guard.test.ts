import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LoginGuard } from './login-guard.ts';

const refusal = new Error('refused');
const isRefusal = (error: unknown): boolean => error === refusal;

function door(guard: LoginGuard) {
  const world = { logins: 0, opens: false };
  const knock = (options: { presented?: string; attended?: boolean } = {}) =>
    guard.pass({ door: 'host', presented: 'key', attended: false, ...options }, isRefusal, async () => {
      world.logins += 1;
      if (!world.opens) throw refusal;
      return 'in';
    });
  return { world, knock };
}

test('a refused login is not tried again before the pause is over, and everybody is told the same', async () => {
  const { world, knock } = door(new LoginGuard(100));
  for (let time = 0; time < 5; time++) await assert.rejects(knock(), refusal);
  assert.equal(world.logins, 1);
  await new Promise((resolve) => setTimeout(resolve, 120));
  world.opens = true;
  assert.equal(await knock(), 'in');
  assert.equal(await knock(), 'in', 'and is forgotten');
});

test('another credential is tried at once, and so is what a person asks for', async () => {
  const { world, knock } = door(new LoginGuard(60_000));
  await assert.rejects(knock(), refusal);
  await assert.rejects(knock({ presented: 'new key' }), refusal);
  await assert.rejects(knock({ attended: true }), refusal);
  assert.equal(world.logins, 3);
});

test('other failures are nobody’s refusal: tried at every turn', async () => {
  const guard = new LoginGuard(60_000);
  let tries = 0;
  const attempt = () =>
    guard.pass({ door: 'host', presented: 'key', attended: false }, isRefusal, async () => {
      tries += 1;
      throw new Error('no route');
    });
  for (let time = 0; time < 3; time++) await assert.rejects(attempt(), /no route/);
  assert.equal(tries, 3);
});
