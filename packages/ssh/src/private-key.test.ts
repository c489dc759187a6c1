import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { inspectPrivateKey, sshErrorCode } from './index.ts';
import { sshdMissing } from './testing/sshd.ts';

describe('private keys that ssh-keygen makes', { skip: sshdMissing() }, () => {
  let directory: string;
  let count = 0;
  before(() => {
    directory = mkdtempSync(join(tmpdir(), 'lmas-keys-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const make = (...words: string[]) => {
    count += 1;
    const path = join(directory, String(count));
    execFileSync('ssh-keygen', ['-q', '-N', '', '-C', '', '-f', path, ...words]);
    const [, print = ''] = execFileSync('ssh-keygen', ['-lf', `${path}.pub`], { encoding: 'utf8' }).split(' ');
    return { key: readFileSync(path, 'utf8'), public: readFileSync(`${path}.pub`, 'utf8'), print };
  };
  const refused = (text: string, passphrase: string | undefined, why: RegExp) =>
    assert.throws(
      () => inspectPrivateKey(text, passphrase),
      (error: Error) => {
        assert.equal(sshErrorCode(error), 'INVALID_ARGUMENT');
        assert.match(error.message, why);
        assert.ok(!error.message.includes(text.slice(40, 60)));
        return true;
      },
    );

  for (const [type, words] of [
    ['ssh-ed25519', ['-t', 'ed25519']],
    ['ecdsa-sha2-nistp384', ['-t', 'ecdsa', '-b', '384']],
    ['ssh-rsa', ['-t', 'rsa', '-b', '2048']],
    ['ssh-rsa', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ] as const) {
    test(`${words.join(' ')} is read, and its fingerprint is ssh-keygen's`, () => {
      const { key, print } = make(...words);
      assert.deepEqual(inspectPrivateKey(key), { type, fingerprint: print });
    });
  }

  for (const format of ['RFC4716', 'PEM']) {
    test(`protected by a passphrase (${format}): read with it, refused without it and with another`, () => {
      const { key, print } = make('-t', 'rsa', '-b', '2048', '-m', format, '-N', 'open sesame');
      assert.equal(inspectPrivateKey(key, 'open sesame').fingerprint, print);
      refused(key, undefined, /protected by a passphrase, and none was given/);
      refused(key, 'wrong', /passphrase is wrong/);
    });
  }

  test('what is none says what it is instead', () => {
    const { key, public: publicKey } = make('-t', 'ed25519');
    refused(publicKey, undefined, /this is the public key/);
    refused('hunter2 is my password, and it is long enough to be seen in an error', undefined, /no private key/);
    refused(key.slice(0, 200), undefined, /damaged or cut off/);
    refused(make('-t', 'rsa', '-b', '2048', '-m', 'PKCS8').key, undefined, /PKCS#8.*ssh-keygen -p/);
  });
});
