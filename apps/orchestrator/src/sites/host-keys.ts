/**
 * Pins other SSH host keys for what is registered: for a machine that was set up anew. Whoever does it has to name the keys
 * that are pinned now: a change of the machine that somebody is known by is made knowingly, or not at all.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { LmasError, type OrchestratorErrorCode } from '../errors.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import { keys } from '../redis/keys.ts';
import { replaceField } from '../redis/replace-field.ts';
import { readStored, rewriteStored } from '../redis/stored-json.ts';
import { endpointSchema } from '../schemas/endpoint.ts';
import { type hostKeyPinsSchema, siteSchema } from '../schemas/site.ts';
import type { Endpoint, Site } from './sites.ts';

type Pins = z.output<typeof hostKeyPinsSchema>;

export interface HostKeyPins {
  /** Of the gateway machine. @throws LmasError SITE_NOT_FOUND, NO_GATEWAY, OTHER_HOST_KEYS_PINNED */
  pinSite(id: string, pins: Pins): Promise<Site>;
  /** Of the hypervisor host. @throws LmasError ENDPOINT_NOT_FOUND, NO_HOST_KEYS, OTHER_HOST_KEYS_PINNED */
  pinEndpoint(id: string, pins: Pins): Promise<Endpoint>;
}

/** By this name a plugin's settings hold them, if it reaches its hosts over SSH. */
const pinnedSchema = z.looseObject({ hostKeys: z.array(z.string()).min(1) });

export function createHostKeyPins(redis: Redis, plugins: PluginRegistry): HostKeyPins {
  const change = async <T>(
    { hash, id, schema, notFound }: { hash: string; id: string; schema: z.ZodType<T>; notFound: OrchestratorErrorCode },
    apply: (item: T) => T,
  ): Promise<T> => {
    for (;;) {
      const json = await redis.hget(hash, id);
      if (json === null) throw new LmasError(notFound, `There is no ${id}.`);
      const changed = apply(readStored(schema, json));
      if (await replaceField(redis, hash, id, json, rewriteStored(schema, json, changed))) return changed;
    }
  };
  return {
    pinSite: (id, { hostKeys, replaces }) =>
      change({ hash: keys.sites, id, schema: siteSchema, notFound: 'SITE_NOT_FOUND' }, (site) => {
        const { gateway } = site;
        if (gateway === null) throw new LmasError('NO_GATEWAY', `Site ${id} has no gateway machine.`);
        requirePinned(gateway.ssh.hostKeys, replaces);
        return { ...site, gateway: { ...gateway, ssh: { ...gateway.ssh, hostKeys } } };
      }),
    pinEndpoint: (id, { hostKeys, replaces }) =>
      change({ hash: keys.endpoints, id, schema: endpointSchema, notFound: 'ENDPOINT_NOT_FOUND' }, (endpoint) => {
        const pinned = pinnedSchema.safeParse(endpoint.config);
        if (!pinned.success) throw new LmasError('NO_HOST_KEYS', `${id} is not known by SSH host keys.`);
        requirePinned(pinned.data.hostKeys, replaces);
        const config = { ...endpoint.config, hostKeys };
        plugins.get(endpoint.plugin).configSchema.parse(config);
        return { ...endpoint, config };
      }),
  };
}

function requirePinned(pinned: readonly string[], replaces: readonly string[]): void {
  const named = new Set(replaces);
  if (named.size === new Set(pinned).size && pinned.every((key) => named.has(key))) return;
  throw new LmasError(
    'OTHER_HOST_KEYS_PINNED',
    `Pinned now is ${pinned.join(', ')}; to be replaced was ${replaces.join(', ')}.`,
  );
}
