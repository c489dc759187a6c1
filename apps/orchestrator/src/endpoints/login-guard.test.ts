import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { LoginGuard, type Verdict } from './login-guard.ts';

const refusal = new Error('refused');
const away = new Error('no route');
const judge = (error: unknown): Verdict => (error === refusal ? 'refused' : error === away ? 'unreachable' : 'none');
const guarding = (pauseMs: number, options = {}): LoginGuard => new LoginGuard(pauseMs, judge, options);
const attempt = { door: 'host', presented: 'key', way: 'host', attended: false, signal: new AbortController().signal };

function door(guard: LoginGuard) {
  const world = { logins: 0, opens: false };
  const knock = (options: { presented?: string; attended?: boolean } = {}) =>
    guard.pass({ ...attempt, ...options }, async () => {
      world.logins += 1;
      if (!world.opens) throw refusal;
      return 'in';
    });
  return { world, knock };
}

test('a refused login is not tried again before the pause is over, and everybody is told the same', async () => {
  const { world, knock } = door(guarding(100));
  for (let time = 0; time < 5; time++) await assert.rejects(knock(), refusal);
  assert.equal(world.logins, 1);
  await new Promise((resolve) => setTimeout(resolve, 120));
  world.opens = true;
  assert.equal(await knock(), 'in');
  assert.equal(await knock(), 'in', 'and is forgotten');
});

test('another credential is tried at once, and so is what a person asks for', async () => {
  const { world, knock } = door(guarding(60_000));
  await assert.rejects(knock(), refusal);
  await assert.rejects(knock({ presented: 'new key' }), refusal);
  await assert.rejects(knock({ attended: true }), refusal);
  assert.equal(world.logins, 3);
});

test('other failures are nobody’s refusal: tried at every turn', async () => {
  const guard = guarding(60_000);
  let tries = 0;
  const knock = () =>
    guard.pass(attempt, async () => {
      tries += 1;
      throw away;
    });
  for (let time = 0; time < 3; time++) await assert.rejects(knock(), away);
  assert.equal(tries, 3);
});

/** Logins that wait for the test, and how many there were. */
function heldDoor(guard: LoginGuard) {
  const held: PromiseWithResolvers<string>[] = [];
  const knock = (options: Partial<typeof attempt> = {}): Promise<string> =>
    guard.pass({ ...attempt, ...options }, () => {
      const login = Promise.withResolvers<string>();
      held.push(login);
      return login.promise;
    });
  return { held, knock };
}

test('of many that come at once with what nobody has accepted yet, one asks: a refusal is everybody’s', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const all = Promise.allSettled([knock(), knock(), knock({ attended: true }), knock()]);
  await turn();
  assert.equal(held.length, 1);
  held[0]?.reject(refusal);
  for (const result of await all) assert.equal(result.status === 'rejected' && result.reason, refusal);
  assert.equal(held.length, 1);
});

test('once it is accepted the others log in as well, side by side, and later ones wait for nobody', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const all = Promise.all([knock(), knock(), knock()]);
  await turn();
  held[0]?.resolve('first');
  await turn();
  assert.equal(held.length, 3);
  const later = knock();
  await turn();
  assert.equal(held.length, 4);
  for (const login of held) login.resolve('in');
  assert.deepEqual(await all, ['first', 'in', 'in']);
  assert.equal(await later, 'in');
});

test('what was accepted long ago is asked by one again', async () => {
  const { held, knock } = heldDoor(guarding(50));
  const before = knock();
  held[0]?.resolve('in');
  await before;
  await delay(60);
  const all = Promise.allSettled([knock(), knock()]);
  await turn();
  assert.equal(held.length, 2);
  held[1]?.reject(refusal);
  await all;
  assert.equal(held.length, 2);
});

test('where nobody answers, those who wait are told so; where one gave up, the next one asks', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const both = Promise.allSettled([knock(), knock()]);
  await turn();
  held[0]?.reject(away);
  for (const result of await both) assert.equal(result.status === 'rejected' && result.reason, away);
  assert.equal(held.length, 1);
  const given = knock();
  const next = knock();
  const last = knock();
  await turn();
  held[1]?.reject(new Error('given up'));
  await assert.rejects(given, /given up/);
  await turn();
  assert.equal(held.length, 3, 'one of the two');
  held[2]?.resolve('in');
  assert.equal(await next, 'in');
  await turn();
  held[3]?.resolve('in, too');
  assert.equal(await last, 'in, too');
});

test('where the one that asks hangs, the others ask by themselves after a while; they make no line', async () => {
  const { held, knock } = heldDoor(guarding(60_000, { patienceMs: 30 }));
  const all = Promise.all([knock(), knock(), knock()]);
  await delay(60);
  assert.equal(held.length, 3);
  for (const login of held) login.resolve('in');
  assert.deepEqual(await all, ['in', 'in', 'in']);
});

test('who gives up while it waits is told so by its own login, and another credential or another door waits for none', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const first = knock();
  const mind = new AbortController();
  const waiting = knock({ signal: mind.signal });
  mind.abort();
  await turn();
  held[1]?.reject(new Error('given up'));
  await assert.rejects(waiting, /given up/);
  const others = Promise.all([knock({ presented: 'another' }), knock({ door: 'elsewhere' })]);
  await turn();
  assert.equal(held.length, 4);
  for (const login of held) login.resolve('in');
  assert.deepEqual([await first, ...(await others)], ['in', 'in', 'in']);
});

test('of two who come to one account by ways of their own, one is told of the other’s refusal, and of no failure on the way', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const [a, b] = [knock({ way: 'a' }), knock({ way: 'b' })];
  await turn();
  held[0]?.reject(away);
  await assert.rejects(a, away);
  await turn();
  held[1]?.reject(refusal);
  await assert.rejects(b, refusal);
  await assert.rejects(knock({ way: 'a' }), refusal);
  assert.equal(held.length, 2);
});

test('what was accepted there with another password makes no refusal forgotten', async () => {
  const { held, knock } = heldDoor(guarding(60_000));
  const wrong = knock({ presented: 'wrong' });
  held[0]?.reject(refusal);
  await assert.rejects(wrong, refusal);
  const right = knock({ presented: 'right' });
  held[1]?.resolve('in');
  assert.equal(await right, 'in');
  await assert.rejects(knock({ presented: 'wrong' }), refusal);
  assert.equal(held.length, 2);
});
