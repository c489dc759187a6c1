/**
 * The first form of sealed secrets, which did not name its key: base64 of version (1 byte, 1), nonce (12), tag (16), ciphertext;
 * AES-256-GCM with what it belongs to as associated data. Credentials were bound to their name, webhooks to `webhook:NAME`.
 */
import { createDecipheriv } from 'node:crypto';
import { z } from 'zod';
import { isSealed } from '../access/vault.ts';
import { LmasError } from '../errors.ts';
import { keys } from '../redis/keys.ts';
import { replaceField } from '../redis/replace-field.ts';
import type { StepTools } from './store-version.ts';

const FORM = 1;
const NONCE_AT = 1;
const TAG_AT = 13;
const CIPHERTEXT_AT = 29;

const credentialSchema = z.looseObject({ sealed: z.string() });
const webhookSchema = z.looseObject({
  sealedSecret: z.string(),
  formerSecret: z.looseObject({ sealed: z.string() }).nullable(),
});

/** @throws LmasError MASTER_KEY_INVALID when one does not open; nothing of it is lost, and the next start tries again */
export async function sealFirstSealsAnew({ redis, vault, ring }: StepTools): Promise<number> {
  const anew = async (sealed: string, formerId: string, id: string): Promise<string> => {
    if (isSealed(sealed)) return sealed;
    for (const { bytes } of ring.all()) {
      const text = open(bytes, formerId, Buffer.from(sealed, 'base64'));
      if (text !== undefined) return await vault.seal(id, text);
    }
    throw new LmasError('MASTER_KEY_INVALID', `The secret of ${id} opens with none of the master keys.`, {
      remedy: 'Put the key that it was sealed with among the master keys, as a further line, and start again.',
    });
  };
  const credentials = await rewrite(redis, keys.credentials, async (name, json) => {
    const stored = credentialSchema.parse(json);
    return { ...stored, sealed: await anew(stored.sealed, name, `credential:${name}`) };
  });
  const webhooks = await rewrite(redis, keys.webhooks, async (name, json) => {
    const { sealedSecret, formerSecret, ...stored } = webhookSchema.parse(json);
    const id = `webhook:${name}`;
    const former = formerSecret === null ? null : { ...formerSecret, sealed: await anew(formerSecret.sealed, id, id) };
    return { ...stored, sealedSecret: await anew(sealedSecret, id, id), formerSecret: former };
  });
  return credentials + webhooks;
}

/** Every field of a hash, each by compare and set: whoever changed it meanwhile has sealed it in the present form. */
async function rewrite(
  redis: StepTools['redis'],
  hash: string,
  apply: (name: string, json: unknown) => Promise<object>,
): Promise<number> {
  let changed = 0;
  for (const [name, before] of Object.entries(await redis.hgetall(hash))) {
    const after = JSON.stringify(await apply(name, JSON.parse(before)));
    const isSame = after === JSON.stringify(JSON.parse(before));
    if (!isSame && (await replaceField(redis, hash, name, before, after))) changed += 1;
  }
  return changed;
}

/** `undefined` when it was sealed with another key. */
function open(key: Buffer, id: string, bytes: Buffer): string | undefined {
  if (bytes[0] !== FORM || bytes.length < CIPHERTEXT_AT) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(NONCE_AT, TAG_AT), { authTagLength: 16 });
  decipher.setAAD(Buffer.from(id)).setAuthTag(bytes.subarray(TAG_AT, CIPHERTEXT_AT));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(CIPHERTEXT_AT)), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
