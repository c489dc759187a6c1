import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { askSecret } from './secrets.ts';

/** @param keys what is pressed once it is asked */
function typed(...keys: string[]): Promise<string> {
  const stdin = Object.assign(new EventEmitter(), {
    ...{ isTTY: true, setRawMode: () => {}, setEncoding: () => {}, pause: () => {} },
    resume: () => {
      for (const key of keys) stdin.emit('data', key);
    },
  }) as unknown as NodeJS.ReadStream;
  const quiet = { isTTY: true, write: () => {} };
  const interrupted = new AbortController().signal;
  return askSecret('Password of svc', { stdin, stdout: quiet, stderr: quiet, env: {}, interrupted });
}

test('a secret is what was typed, as it was mended', async () => {
  assert.equal(await typed('sey', '\u007f', 'cret\r'), 'secret');
});

test('nothing, and half of it, is no secret', async () => {
  const refused = { code: 'INVALID_VALUE', message: 'Password of svc: none was given.' };
  for (const keys of [['\r'], ['\u0004'], ['half', '\u0004'], ['half', '\u0015', '\n']]) {
    await assert.rejects(typed(...keys), refused);
  }
});
