import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PluginError } from './errors.ts';
import { type VerificationQuestion, verifyInOrder } from './verification.ts';

const { signal } = new AbortController();
const steps = (questions: readonly VerificationQuestion[], options = { signal }) =>
  Array.fromAsync(verifyInOrder(questions, options));

test('each question is a step; a failure is told with its remedy, and takes along only what rests on it', async () => {
  const asked: string[] = [];
  const ask = (name: string, answer: () => string) => async () => {
    asked.push(name);
    return answer();
  };
  const refuse = (): never => {
    throw new PluginError('LOGIN_REFUSED', 'no right to look', { remedy: 'Give it one.' });
  };
  assert.deepEqual(
    await steps([
      { name: 'rights', ask: ask('rights', refuse) },
      { name: 'network', ask: ask('network', () => '10.0.0.1') },
      { name: 'hosts', needs: ['rights'], ask: ask('hosts', () => 'never') },
      { name: 'storage', needs: ['network', 'hosts'], ask: ask('storage', () => 'never') },
      { name: 'port', needs: ['network'], ask: async () => ({ outcome: 'skipped', seen: 'none', remedy: null }) },
    ]),
    [
      { name: 'rights', outcome: 'failed', seen: 'no right to look', remedy: 'Give it one.' },
      { name: 'network', outcome: 'ok', seen: '10.0.0.1', remedy: null },
      { name: 'hosts', outcome: 'skipped', seen: 'It rests on rights.', remedy: null },
      { name: 'storage', outcome: 'skipped', seen: 'It rests on hosts.', remedy: null },
      { name: 'port', outcome: 'skipped', seen: 'none', remedy: null },
    ],
  );
  assert.deepEqual(asked, ['rights', 'network']);
});

test('when the time is over, the step that hangs is named, and nothing is asked after it', async () => {
  const time = new AbortController();
  const hangs = async (): Promise<string> => {
    time.abort(new Error('over'));
    throw time.signal.reason;
  };
  const questions = [
    { name: 'hangs', ask: hangs },
    { name: 'later', ask: async () => assert.fail('asked') },
  ];
  assert.deepEqual(await steps(questions, { signal: time.signal }), [
    { name: 'hangs', outcome: 'failed', seen: 'No answer came in time.', remedy: null },
  ]);
});
