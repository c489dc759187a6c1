/**
 * Looks at a private key before it is needed: a key that cannot be read is refused when it is registered, in words that
 * say what is wrong with it, and not weeks later when a VM waits. Nothing of the key is in any error.
 */
import ssh2 from 'ssh2';
import { SshError } from './errors.ts';
import { fingerprint } from './host-keys.ts';

export interface PrivateKeyFacts {
  /** As in `authorized_keys`: `ssh-ed25519`, `ssh-rsa`, `ecdsa-sha2-nistp256`, … */
  readonly type: string;
  /** Of its public half, as `ssh-keygen -lf` prints it. */
  readonly fingerprint: string;
}

const ACCEPTED = /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521))$/;

const NOT_KEYS: readonly (readonly [pattern: RegExp, what: string])[] = [
  [
    /^\s*(ssh-|ecdsa-|sk-)\S+ |BEGIN (SSH2 )?PUBLIC KEY/,
    'this is the public key; the file beside it, without .pub, is the private one',
  ],
  [/BEGIN CERTIFICATE/, 'this is a certificate'],
  [/BEGIN (ENCRYPTED )?PRIVATE KEY/, 'it is in PKCS#8; turn it into OpenSSH’s own format with: ssh-keygen -p -f FILE'],
  [/PuTTY-User-Key-File-3/, 'it is PuTTY’s, version 3; export it from PuTTYgen in OpenSSH’s format'],
];

/** @throws SshError INVALID_ARGUMENT saying what is wrong */
export function inspectPrivateKey(privateKey: string, passphrase?: string): PrivateKeyFacts {
  const refuse = (reason: string): never => {
    throw new SshError('INVALID_ARGUMENT', `The private key cannot be used: ${reason}.`);
  };
  const parsed = ssh2.utils.parseKey(privateKey, passphrase);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error) return refuse(whyUnreadable(privateKey, passphrase, key));
  if (!key.isPrivateKey()) return refuse(NOT_KEYS[0]?.[1] ?? '');
  if (!ACCEPTED.test(key.type)) return refuse(`keys of type ${key.type} are not accepted by today’s servers`);
  return { type: key.type, fingerprint: fingerprint(key.getPublicSSH()) };
}

/** ssh2 has no codes; what it says is told apart by the words about passphrases alone. */
function whyUnreadable(text: string, passphrase: string | undefined, error: Error | undefined): string {
  const other = NOT_KEYS.find(([pattern]) => pattern.test(text));
  if (other !== undefined) return other[1];
  if (/no passphrase/i.test(error?.message ?? '')) return 'it is protected by a passphrase, and none was given';
  const isKey = /-----BEGIN [A-Z ]*PRIVATE KEY-----|PuTTY-User-Key-File/.test(text);
  if (!isKey) return 'this is no private key in OpenSSH or PEM format';
  if (passphrase !== undefined && isEncrypted(text)) return 'the passphrase is wrong, or the key is damaged';
  return 'it is damaged or cut off';
}

/** Whether it could not be read without a passphrase. */
function isEncrypted(text: string): boolean {
  const parsed = ssh2.utils.parseKey(text);
  return parsed instanceof Error && /no passphrase/i.test(parsed.message);
}
