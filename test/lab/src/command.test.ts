import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './command.ts';
import { isAlive, recordOf } from './processes.ts';

test('input goes in, output and exit code come out', async () => {
  assert.deepEqual(await run('sh', ['-c', 'cat; echo no >&2; exit 3'], { input: 'yes', allowFailure: true }), {
    code: 3,
    stdout: 'yes',
    stderr: 'no\n',
  });
  await assert.rejects(run('sh', ['-c', 'echo no >&2; exit 3']), {
    code: 'LAB_COMMAND_FAILED',
    message: /exit 3: no$/,
  });
  await assert.rejects(run('no-such-program', []), { code: 'LAB_TOOL_MISSING' });
});

test('what takes too long, or is given up, is ended with everything it started', async () => {
  await assert.rejects(run('sh', ['-c', 'sleep 60 & sleep 60'], { timeoutMs: 50 }), { code: 'LAB_TIMEOUT' });
  const giveUp = new AbortController();
  const running = run('sleep', ['60'], { signal: giveUp.signal });
  giveUp.abort(new Error('enough'));
  await assert.rejects(running, /enough/);
  await assert.rejects(async () => run('true', [], { signal: giveUp.signal }), /enough/);
});

test('a process is told from another that got its number later', () => {
  const me = recordOf(process.pid);
  assert.ok(me && isAlive(me));
  assert.equal(isAlive({ ...me, startTicks: me.startTicks + 1 }), false);
});
