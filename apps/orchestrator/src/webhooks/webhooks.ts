/**
 * The webhooks as registered, and how each is doing. Secrets are sealed; they come out when they are made and for a
 * signature, and never again. What a person sets and what deliveries find out are kept apart, so that neither undoes
 * the other.
 */
import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { Vault } from '../access/vault.ts';
import { LmasError } from '../errors.ts';
import { now } from '../migrations/record.ts';
import { keys } from '../redis/keys.ts';
import { addField, replaceField } from '../redis/replace-field.ts';
import { replicated } from '../redis/replicas.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';
import {
  type newWebhookSchema,
  type webhookChangeSchema,
  type webhookInputSchema,
  webhookSchema,
} from '../schemas/webhook.ts';
import type { AddressGuard } from './address-guard.ts';

export type Webhook = z.infer<typeof webhookSchema>;
export type NewWebhook = z.infer<typeof newWebhookSchema>;
export type WebhookInput = z.output<typeof webhookInputSchema>;
export type WebhookChange = z.output<typeof webhookChangeSchema>;

/** How long the former secret signs as well, so that a receiver can change over without missing anything. */
const FORMER_SECRET_MS = 24 * 3_600_000;
const SECRET_BYTES = 32;
/** Of each project, and of the installation. Each may have an attempt under way: fewer than there are workers (queue/delivery-queue.ts). */
const MAX_PER_PROJECT = 100;

const storedSchema = webhookSchema.omit({ failingSince: true, disabled: true }).extend({
  sealedSecret: z.string(),
  formerSecret: z.object({ sealed: z.string(), validUntil: z.iso.datetime() }).nullable(),
});
type Stored = z.infer<typeof storedSchema>;
const disabledSchema = webhookSchema.shape.disabled.unwrap();

export interface Webhooks {
  /** @throws LmasError ALREADY_EXISTS, TOO_MANY_WEBHOOKS, WEBHOOK_ADDRESS_REFUSED */
  create(input: WebhookInput, project: string | null): Promise<NewWebhook>;
  list(): Promise<Webhook[]>;
  /** @throws LmasError WEBHOOK_NOT_FOUND */
  get(id: string): Promise<Webhook>;
  find(id: string): Promise<Webhook | undefined>;
  /**
   * @param expect is given what is there, before anything is changed, and throws where it is not what the caller looked at
   * @throws LmasError WEBHOOK_NOT_FOUND, WEBHOOK_ADDRESS_REFUSED
   */
  change(id: string, change: WebhookChange, expect: (current: Webhook) => void): Promise<Webhook>;
  /** A new secret; for a day the former one signs as well. @throws LmasError WEBHOOK_NOT_FOUND */
  rotateSecret(id: string): Promise<NewWebhook>;
  /** @throws LmasError WEBHOOK_NOT_FOUND */
  remove(id: string): Promise<void>;
  /** For a signature, the current one first. */
  secrets(id: string): Promise<string[]>;
  noteSuccess(id: string): Promise<void>;
  /** Switches it off when it has failed for longer than `limitMs`. */
  noteFailure(id: string, message: string, limitMs: number): Promise<void>;
  disable(id: string, reason: string): Promise<void>;
}

const BY_HAND = 'Switched off by hand.';

/** Nothing gets through, or nothing is sent any more and nobody wanted that. */
export const needsPerson = ({ failingSince, disabled }: Webhook): boolean =>
  disabled === null ? failingSince !== null : disabled.reason !== BY_HAND;

export function createWebhooks(redis: Redis, { vault, guard }: { vault: Vault; guard: AddressGuard }): Webhooks {
  const sealedAs = (id: string): string => `webhook:${id}`;
  const read = async (id: string): Promise<{ json: string; stored: Stored }> => {
    const json = await redis.hget(keys.webhooks, id);
    if (json === null) throw new LmasError('WEBHOOK_NOT_FOUND', `There is no webhook ${id}.`);
    return { json, stored: readStored(storedSchema, json) };
  };
  const load = async (id: string): Promise<Stored> => (await read(id)).stored;
  /** Of two who change it at once neither undoes the other, and a new secret is not lost. */
  const update = async (id: string, apply: (stored: Stored) => Stored | Promise<Stored>): Promise<Stored> => {
    for (;;) {
      const { json, stored } = await read(id);
      const changed = await apply(stored);
      if (await replaceField(redis, keys.webhooks, id, json, rewriteStored(storedSchema, json, changed)))
        return changed;
    }
  };
  const shown = async ({ sealedSecret: _, formerSecret: __, ...stored }: Stored): Promise<Webhook> => {
    const [failingSince, disabled] = await Promise.all([
      redis.hget(keys.webhooksFailing, stored.id),
      redis.hget(keys.webhooksDisabled, stored.id),
    ]);
    return { ...stored, failingSince, disabled: disabled === null ? null : readStored(disabledSchema, disabled) };
  };
  const newSecret = async (id: string) => {
    const secret = `whsec_${randomBytes(SECRET_BYTES).toString('base64')}`;
    return { secret, sealed: await vault.seal(sealedAs(id), secret) };
  };
  const disable = async (id: string, reason: string): Promise<void> => {
    await redis.hsetnx(keys.webhooksDisabled, id, JSON.stringify({ at: now(), reason }));
    await replicated(redis);
  };
  const enable = async (id: string): Promise<void> => {
    await redis.hdel(keys.webhooksFailing, id);
    await redis.hdel(keys.webhooksDisabled, id);
    await replicated(redis);
  };
  const get = async (id: string): Promise<Webhook> => await shown(await load(id));

  const loadAll = async (): Promise<Stored[]> =>
    (await redis.hvals(keys.webhooks)).map((json) => readStored(storedSchema, json));
  /** Of several who come at once a few more may find room: that does no harm. */
  const requireRoom = async (id: string, project: string | null): Promise<void> => {
    const others = (await loadAll()).filter((each) => each.project === project && each.id !== id);
    if (others.length < MAX_PER_PROJECT) return;
    const whose = project === null ? 'The installation' : `Project ${project}`;
    throw new LmasError('TOO_MANY_WEBHOOKS', `${whose} has ${MAX_PER_PROJECT} webhooks; it may have no more.`, {
      remedy: 'Remove one that nobody needs any more.',
    });
  };

  return {
    get,
    disable,
    async create({ id, url, description, events }, project) {
      guard.checkLiteral(new URL(url));
      await requireRoom(id, project);
      const { secret, sealed } = await newSecret(id);
      const stored: Stored = {
        ...{ id, url, description, events, project, createdAt: now(), secretRotatedAt: null },
        ...{ sealedSecret: sealed, formerSecret: null },
      };
      const isNew = await addField(redis, keys.webhooks, id, JSON.stringify(stored));
      if (!isNew) throw new LmasError('ALREADY_EXISTS', `There is a webhook ${id} already.`);
      return { ...(await shown(stored)), secret };
    },
    async list() {
      const all = await loadAll();
      return await Promise.all(all.sort((a, b) => (a.id < b.id ? -1 : 1)).map(shown));
    },
    async find(id) {
      return (await redis.hexists(keys.webhooks, id)) === 1 ? await get(id) : undefined;
    },
    async change(id, { enabled, ...settings }, expect) {
      if (settings.url !== undefined) guard.checkLiteral(new URL(settings.url));
      const stored = await update(id, async (before) => {
        expect(await shown(before));
        return storedSchema.parse({ ...before, ...settings });
      });
      if (enabled === true) await enable(id);
      if (enabled === false) await disable(id, BY_HAND);
      return await shown(stored);
    },
    async rotateSecret(id) {
      const { secret, sealed } = await newSecret(id);
      const validUntil = new Date(Date.now() + FORMER_SECRET_MS).toISOString();
      const stored = await update(id, (before) => ({
        ...before,
        ...{ secretRotatedAt: now(), sealedSecret: sealed },
        formerSecret: { sealed: before.sealedSecret, validUntil },
      }));
      return { ...(await shown(stored)), secret };
    },
    async remove(id) {
      await load(id);
      await redis.hdel(keys.webhooks, id);
      await enable(id); // what is known of its failures goes with it
    },
    async secrets(id) {
      const { sealedSecret, formerSecret } = await load(id);
      const isFormerValid = formerSecret !== null && Date.parse(formerSecret.validUntil) > Date.now();
      const sealed = isFormerValid ? [sealedSecret, formerSecret.sealed] : [sealedSecret];
      return await Promise.all(sealed.map((each) => vault.open(sealedAs(id), each)));
    },
    async noteSuccess(id) {
      await redis.hdel(keys.webhooksFailing, id);
    },
    async noteFailure(id, message, limitMs) {
      await redis.hsetnx(keys.webhooksFailing, id, now());
      const since = await redis.hget(keys.webhooksFailing, id);
      if (since === null || Date.now() - Date.parse(since) <= limitMs) return;
      await disable(id, `Nothing got through since ${since}; the last attempt: ${message}`);
    },
  };
}
