import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SSH_ERRORS, SshError, sshErrorCode } from './errors.ts';

test('the README shows the table as it is', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const documented = [...readme.matchAll(/^\| ([A-Z_]+) \| (yes|no) \| (.+) \|$/gm)].map((row) => row.slice(1));
  const real = Object.entries(SSH_ERRORS).map(([code, { retryable, meaning }]) => [
    code,
    retryable ? 'yes' : 'no',
    meaning,
  ]);
  assert.deepEqual(documented, real);
});

test('a code is read from our errors only, whichever copy of the package they come from', () => {
  assert.equal(sshErrorCode(new SshError('TIMEOUT', 'late')), 'TIMEOUT');
  assert.equal(sshErrorCode({ name: 'SshError', code: 'ABORTED' }), 'ABORTED');
  assert.equal(sshErrorCode(Object.assign(new Error('other'), { code: 'TIMEOUT' })), undefined);
  assert.equal(sshErrorCode(undefined), undefined);
});
