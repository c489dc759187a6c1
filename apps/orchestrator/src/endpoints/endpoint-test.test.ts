import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type EndpointSession, type HypervisorPlugin, PluginError, verifyInOrder } from '@lmas/plugin-api';
import { testEndpoint } from './endpoint-test.ts';
import type { Questions } from './questions.ts';

const HOST = { name: 'pool', version: '1', cpus: 4, memoryBytes: 2 ** 34, memoryFreeBytes: 2 ** 33 };

function endpoint(changes: Partial<EndpointSession>): Questions & { readonly givenBack: number } {
  const seen = { givenBack: 0 };
  const session: EndpointSession = {
    closed: new AbortController().signal,
    inventory: async () => ({ host: HOST, networks: [], vms: [] }),
    findVm: async () => assert.fail('not asked for'),
    close: async () => assert.fail('not ours'),
    ...changes,
  };
  return {
    async lend(_, { attended }) {
      assert.equal(attended, true, 'a person waits for it');
      const giveBack = async () => {
        seen.givenBack += 1;
      };
      return { plugin: {} as HypervisorPlugin, session, isKept: false, giveBack, discard: () => undefined };
    },
    get givenBack() {
      return seen.givenBack;
    },
  };
}

const { signal } = new AbortController();
const inShort = ({ steps }: { steps: readonly { name: string; outcome: string }[] }) =>
  steps.map(({ name, outcome }) => `${name} ${outcome}`);

test('the steps of the plugin follow ours, and one that failed makes the endpoint unfit', async () => {
  const questions = endpoint({
    verify: (options) =>
      verifyInOrder(
        [
          { name: 'network', ask: async () => '192.0.2.1' },
          { name: 'rights', ask: async () => ({ outcome: 'failed', seen: 'read-only', remedy: 'Give it more.' }) },
        ],
        options,
      ),
  });
  const answer = await testEndpoint(questions, 'pool', { signal });
  assert.deepEqual(inShort(answer), ['connection ok', 'inventory ok', 'network ok', 'rights failed']);
  assert.deepEqual([answer.ok, answer.error, answer.host, questions.givenBack], [false, null, HOST, 1]);
  assert.equal((await testEndpoint(endpoint({}), 'pool', { signal })).ok, true, 'a plugin need not have any');
});

test('an inventory that cannot be taken is a failed step, and the plugin is not asked for more', async () => {
  const inventory = async () => {
    throw new PluginError('LOGIN_REFUSED', 'may not look.', { remedy: 'Let it.' });
  };
  const questions = endpoint({ inventory, verify: () => assert.fail('asked') });
  const answer = await testEndpoint(questions, 'pool', { signal });
  assert.deepEqual(inShort(answer), ['connection ok', 'inventory failed']);
  assert.deepEqual(answer.error, { code: 'LOGIN_REFUSED', message: 'may not look.', remedy: 'Let it.' });
});

test('what was seen before the time was over is told', async () => {
  const time = new AbortController();
  const hangs = async (): Promise<string> => {
    time.abort(new PluginError('TIMEOUT', 'too late'));
    throw time.signal.reason;
  };
  const verify: EndpointSession['verify'] = (options) => verifyInOrder([{ name: 'hangs', ask: hangs }], options);
  const answer = await testEndpoint(endpoint({ verify }), 'pool', time);
  assert.deepEqual(inShort(answer), ['connection ok', 'inventory ok', 'hangs failed']);
  assert.deepEqual([answer.ok, answer.error?.code], [false, 'TIMEOUT']);
});

test('a step in another shape than the contract’s is refused, not passed on', async () => {
  const verify = async function* () {
    yield { name: 'odd', outcome: 'perhaps', seen: '', remedy: null } as never;
  };
  const answer = await testEndpoint(endpoint({ verify }), 'pool', { signal });
  assert.deepEqual([answer.ok, inShort(answer).length], [false, 2]);
});
