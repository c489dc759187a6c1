/**
 * Seals secrets for storage: AES-256-GCM under one key, each bound by associated data to the id it belongs to, so that a
 * sealed value moved to another id does not open. Layout: version (1 byte), nonce (12), tag (16), ciphertext; base64.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { LmasError } from '../errors.ts';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
export const KEY_BYTES = 32;

export interface Vault {
  seal(id: string, plaintext: string): string;
  /** @throws LmasError SECRET_KEY_INVALID when it was sealed under another key or for another id */
  open(id: string, sealed: string): string;
}

export function createVault(key: Buffer): Vault {
  if (key.length !== KEY_BYTES)
    throw new LmasError('SECRET_KEY_INVALID', `The secret key has ${key.length} bytes, not 32.`);
  return {
    seal(id, plaintext) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(id));
      const ciphertext = Buffer.concat([cipher.update(plaintext, 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), ciphertext]).toString('base64');
    },
    open(id, sealed) {
      const bytes = Buffer.from(sealed, 'base64');
      try {
        if (bytes[0] !== VERSION) throw new Error(`unknown version ${bytes[0]}`);
        const nonce = bytes.subarray(1, 1 + NONCE_BYTES);
        const tag = bytes.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
        const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
        decipher.setAAD(Buffer.from(id)).setAuthTag(tag);
        const ciphertext = bytes.subarray(1 + NONCE_BYTES + TAG_BYTES);
        return Buffer.concat([decipher.update(ciphertext), decipher.final()]).toString('utf8');
      } catch (cause) {
        throw new LmasError('SECRET_KEY_INVALID', `The secret of ${id} does not open with this secret key.`, { cause });
      }
    },
  };
}
