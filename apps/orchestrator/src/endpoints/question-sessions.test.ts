/** One session per endpoint for all questions: who opens it, who shares it, and what ends it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { type EndpointSession, type HypervisorPlugin, type Inventory, PluginError } from '@lmas/plugin-api';
import { LmasError } from '../errors.ts';
import type { Registration } from './connector.ts';
import { QuestionSessions } from './question-sessions.ts';
import { createQuestions, type Questions, withSession, withSessions } from './questions.ts';

const EMPTY: Inventory = {
  host: { name: 'host', version: '1', cpus: 1, memoryBytes: 1, memoryFreeBytes: 1 },
  networks: [],
  vms: [],
};
const plugin = { name: 'fake' } as HypervisorPlugin;
const lost = () => new PluginError('CONNECTION_LOST', 'cut');

class FakeSession implements EndpointSession {
  readonly #closed = new AbortController();
  readonly closed = this.#closed.signal;
  closes = 0;
  answer: () => Promise<Inventory> = async () => EMPTY;
  inventory = () => this.answer();
  findVm = () => assert.fail('not asked for');
  cut(): void {
    this.#closed.abort(lost());
  }
  close = async () => {
    this.closes += 1;
  };
}

/** Endpoints, logins to them that are answered at once or when the test says so, and who was logged in. */
function stand({ keepMs = 60_000, lookMs = 60_000 } = {}) {
  const registered = new Map<string, string>([
    ['a', '1'],
    ['b', '1'],
  ]);
  const opened: FakeSession[] = [];
  const world = { logins: 0, login: async (_: AbortSignal) => undefined as unknown, redisIsAway: false };
  const readRegistration = async (id: string): Promise<Registration> => {
    if (world.redisIsAway) throw new LmasError('UNAVAILABLE');
    const digest = registered.get(id);
    if (digest === undefined) throw new LmasError('ENDPOINT_NOT_FOUND');
    return {
      endpoint: { id, config: {} },
      plugin,
      credential: { kind: 'password', username: '', password: '' },
      digest,
    };
  };
  const sessions = new QuestionSessions({
    ...{ keepMs, lookMs, readRegistration },
    async logIn(_, { signal }) {
      world.logins += 1;
      await world.login(signal);
      const session = new FakeSession();
      opened.push(session);
      return { plugin, session };
    },
  });
  const questions: Questions = createQuestions(readRegistration, sessions);
  const { signal } = new AbortController();
  const look = (options: { signal?: AbortSignal; attended?: boolean; at?: string } = {}) =>
    withSession(questions, options.at ?? 'a', { signal, ...options }, (session) => session.inventory({ signal }));
  return {
    ...{ world, registered, opened, sessions, questions, look, signal },
    [Symbol.asyncDispose]: () => sessions.close(),
  };
}

const until = async (isSo: () => boolean): Promise<void> => {
  for (let left = 400; !isSo(); left -= 1) {
    assert.ok(left > 0, 'it never comes');
    await delay(5);
  }
};

describe('sharing', () => {
  test('one after the other, and at the same time: one login', async () => {
    await using it = stand();
    await it.look();
    await Promise.all([it.look(), it.look()]);
    assert.equal(it.world.logins, 1);
    assert.deepEqual([...it.sessions.openByPlugin()], [['fake', 1]]);
    await it.look({ at: 'b' });
    assert.equal(it.world.logins, 2, 'each endpoint has its own');
  });

  test('several first questions wait for one login; who gives up takes it from nobody', async () => {
    await using it = stand();
    const login = Promise.withResolvers<void>();
    it.world.login = () => login.promise;
    const mind = new AbortController();
    const first = it.look({ signal: mind.signal });
    const second = it.look();
    await turn();
    mind.abort(new Error('enough'));
    await assert.rejects(first, /enough/);
    login.resolve();
    assert.deepEqual(await second, EMPTY);
    assert.equal(it.world.logins, 1);
  });

  test('a login that nobody waits for is given up', async () => {
    await using it = stand();
    const given = Promise.withResolvers<void>();
    it.world.login = (signal) =>
      new Promise((_, reject) => {
        signal.addEventListener('abort', () => {
          reject(signal.reason);
          given.resolve();
        });
      });
    const mind = new AbortController();
    const only = it.look({ signal: mind.signal });
    await turn();
    mind.abort(new Error('enough'));
    await assert.rejects(only, /enough/);
    await given.promise;
    it.world.login = async () => undefined;
    await it.look();
    assert.equal(it.world.logins, 2);
  });

  test('one that fails is told to all who wait for it, and tried again by the next', async () => {
    await using it = stand();
    const away = new PluginError('UNREACHABLE', 'a: away');
    it.world.login = async () => {
      throw away;
    };
    for (const result of await Promise.allSettled([it.look(), it.look()])) assert.equal(result.status, 'rejected');
    assert.equal(it.world.logins, 1);
    it.world.login = async () => undefined;
    await it.look();
    assert.equal(it.world.logins, 2);
  });

  test('what a person wants tried now is tried, and that session is theirs alone', async () => {
    await using it = stand();
    await it.look();
    await it.look({ attended: true });
    assert.equal(it.world.logins, 2);
    assert.deepEqual(
      it.opened.map(({ closes }) => closes),
      [0, 1],
    );
    await it.look();
    assert.equal(it.world.logins, 2);
  });

  test('both ends or none: what one was lent is given back where the other one fails', async () => {
    await using it = stand({ keepMs: 0 });
    it.registered.delete('b');
    const both = withSessions(it.questions, { source: 'a', destination: 'b' }, it, async () => assert.fail('asked'));
    await assert.rejects(both, { code: 'ENDPOINT_NOT_FOUND' });
    await until(() => it.opened[0]?.closes === 1);
  });
});

describe('the end', () => {
  test('nobody has asked for a while: closed, and opened anew by the next question', async () => {
    await using it = stand({ keepMs: 30 });
    await it.look();
    await until(() => it.opened[0]?.closes === 1);
    await it.look();
    assert.equal(it.world.logins, 2);
    assert.deepEqual([...it.sessions.openByPlugin()], [['fake', 1]]);
  });

  test('the connection is lost: the next question opens another one', async () => {
    await using it = stand();
    await it.look();
    it.opened[0]?.cut();
    await until(() => it.opened[0]?.closes === 1);
    await it.look();
    assert.equal(it.world.logins, 2);
  });

  test('a question that runs into a connection lost while it was idle is asked once more', async () => {
    for (const tells of [true, false]) {
      await using it = stand();
      await it.look();
      const [kept] = it.opened;
      assert.ok(kept !== undefined);
      kept.answer = async () => {
        if (tells) kept.cut(); // others notice nothing but the one call that fails
        throw lost();
      };
      assert.deepEqual(await it.look(), EMPTY);
      assert.equal(it.world.logins, 2);
      await until(() => kept.closes === 1);
    }
  });

  test('but never after a refused login: the account may be locked after a few', async () => {
    await using it = stand();
    await it.look();
    const [kept] = it.opened;
    assert.ok(kept !== undefined);
    kept.answer = async () => {
      kept.cut();
      throw new PluginError('LOGIN_REFUSED', 'no');
    };
    await assert.rejects(it.look(), { code: 'LOGIN_REFUSED' });
    assert.equal(it.world.logins, 1);
  });

  test('a host that takes a question and never answers holds nobody longer than their signal, and is asked anew by the next', async (t) => {
    await using it = stand();
    await it.look();
    const [kept] = it.opened;
    assert.ok(kept !== undefined);
    kept.answer = () => new Promise(() => undefined);
    for (const silentMs of [1_000, 11_000]) {
      const began = performance.now();
      const mind = new AbortController();
      const waiting = it.look({ signal: mind.signal });
      await turn();
      const clock = t.mock.method(performance, 'now', () => began + silentMs);
      mind.abort(new Error('enough'));
      await assert.rejects(waiting, /enough/);
      clock.mock.restore();
      assert.equal(kept.closes, silentMs > 10_000 ? 1 : 0, 'who is impatient takes it from nobody');
    }
    assert.deepEqual(await it.look(), EMPTY);
    const never = it.look({ attended: true, signal: AbortSignal.abort(new Error('enough')) });
    await assert.rejects(never, /enough/);
    await until(() => it.opened.at(-1)?.closes === 1);
  });

  test('but once, never over a new connection, and not for what the endpoint itself refuses', async () => {
    await using it = stand();
    let asked = 0;
    const ask = () =>
      withSession(it.questions, 'a', it, async () => {
        asked += 1;
        throw lost();
      });
    await assert.rejects(ask(), { code: 'CONNECTION_LOST' });
    assert.equal(asked, 1, 'it was new');
    await it.look();
    await assert.rejects(ask(), { code: 'CONNECTION_LOST' });
    assert.equal(asked, 3);
    await it.look();
    const refuse = withSession(it.questions, 'a', it, async () => {
      throw new PluginError('VM_NOT_FOUND', 'no');
    });
    await assert.rejects(refuse, { code: 'VM_NOT_FOUND' });
    const { logins } = it.world;
    await it.look();
    assert.equal(it.world.logins, logins, 'it is kept');
  });

  test('the endpoint was registered anew: the next question opens another, who has the old one goes on', async () => {
    await using it = stand();
    const answer = Promise.withResolvers<Inventory>();
    await it.look();
    const [old] = it.opened;
    assert.ok(old !== undefined);
    old.answer = () => answer.promise;
    const slow = it.look();
    await turn();
    it.registered.set('a', '2');
    await it.look();
    assert.deepEqual([it.world.logins, old.closes], [2, 0]);
    answer.resolve(EMPTY);
    assert.deepEqual(await slow, EMPTY);
    await until(() => old.closes === 1);
  });

  test('changed or removed while nobody asks: noticed soon, unless nobody can tell', async () => {
    await using it = stand({ lookMs: 20 });
    await Promise.all([it.look(), it.look({ at: 'b' })]);
    it.world.redisIsAway = true;
    await delay(60);
    it.world.redisIsAway = false;
    assert.deepEqual(
      it.opened.map(({ closes }) => closes),
      [0, 0],
    );
    it.registered.set('a', '2');
    it.registered.delete('b');
    await until(() => it.opened.every(({ closes }) => closes === 1));
    await assert.rejects(it.look({ at: 'b' }), { code: 'ENDPOINT_NOT_FOUND' });
  });

  test('the process ends: all are closed, logins under way are given up, and nothing is opened any more', async () => {
    const it = stand();
    await it.look();
    it.world.login = (signal) =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    const waiting = assert.rejects(it.look({ at: 'b' }));
    await turn();
    await it.sessions.close();
    await waiting;
    assert.equal(it.opened[0]?.closes, 1);
    await assert.rejects(it.look(), { code: 'UNAVAILABLE' });
    assert.equal(it.world.logins, 2);
  });
});
