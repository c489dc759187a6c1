/**
 * Seals secrets for storage: AES-256-GCM under the master key that everybody seals with, each bound by associated data to what it belongs to,
 * so that a sealed value moved elsewhere does not open. A sealed value names its key, so that keys can change:
 *
 *   sealed:2:<key id>:<base64 of nonce (12 bytes), tag (16), ciphertext>
 *
 * Associated data: the text before the base64, then the id it belongs to.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { LmasError } from '../errors.ts';
import type { KeyRing, MasterKey } from './master-keys.ts';
import type { SealingKey } from './sealing-key.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SEALED = /^(sealed:2:([0-9a-f]{8}):)([A-Za-z0-9+/]+={0,2})$/;

export interface Vault {
  /**
   * `id` says what the secret belongs to, with its kind: `credential:ops`. Store it at once: rotations go on meanwhile.
   * @throws LmasError MASTER_KEY_INVALID when the key that everybody seals with is not known here
   */
  seal(id: string, plaintext: string): Promise<string>;
  /** @throws LmasError MASTER_KEY_INVALID when its key is not known, or it was sealed for another id */
  open(id: string, sealed: string): Promise<string>;
}

export const isSealed = (text: string): boolean => SEALED.test(text);

/** The key that a sealed value needs. */
export const keyIdOf = (sealed: string): string | undefined => SEALED.exec(sealed)?.[2];

export function createVault(ring: KeyRing, sealingKey: Pick<SealingKey, 'get'>): Vault {
  return {
    async seal(id, plaintext) {
      const key = await sealingKey.get();
      const head = `sealed:2:${key.id}:`;
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce).setAAD(Buffer.from(head + id));
      const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
      return head + Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]).toString('base64');
    },
    async open(id, sealed) {
      const [, head = '', keyId = '', base64 = ''] = SEALED.exec(sealed) ?? [];
      if (ring.find(keyId) === undefined) await ring.reload(); // another process may have put a new one into the file
      const key = ring.find(keyId);
      if (key === undefined) {
        throw new LmasError(
          'MASTER_KEY_INVALID',
          `The secret of ${id} needs the master key ${keyId || '(unreadable)'}.`,
        );
      }
      try {
        return decrypt(key, head + id, Buffer.from(base64, 'base64'));
      } catch (cause) {
        throw new LmasError('MASTER_KEY_INVALID', `The secret of ${id} does not open.`, { cause });
      }
    },
  };
}

function decrypt({ bytes: key }: MasterKey, associated: string, bytes: Buffer): string {
  const nonce = bytes.subarray(0, NONCE_BYTES);
  const tag = bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(associated)).setAuthTag(tag);
  const ciphertext = bytes.subarray(NONCE_BYTES + TAG_BYTES);
  return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
}
