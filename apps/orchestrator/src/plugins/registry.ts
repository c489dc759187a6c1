/**
 * The hypervisor plugins that were loaded at start, by name. Read-only afterwards.
 */
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type HypervisorPlugin, PLUGIN_API_VERSION, type PluginCapabilities } from '@lmas/plugin-api';
import { z } from 'zod';
import { LmasError } from '../errors.ts';
import { credentialSchema } from '../schemas/credential.ts';

export interface PluginRegistry {
  find(name: string): HypervisorPlugin | undefined;
  /** @throws LmasError PLUGIN_INVALID when it is not loaded any more */
  get(name: string): HypervisorPlugin;
  all(): readonly HypervisorPlugin[];
}

const isSchema = (value: unknown): value is z.ZodType =>
  typeof value === 'object' && value !== null && 'safeParse' in value && typeof value.safeParse === 'function';

/** Its traffic goes through a tunnel only by being intercepted, so two migrations between the same hosts are not told apart. */
export const isIntercepted = ({ transparentRoute, redirectedRoute }: PluginCapabilities): boolean =>
  transparentRoute && !redirectedRoute;

const isFunction = (value: unknown): boolean => typeof value === 'function';

/** What a package must export by default. Its own copy of zod or plugin-api is welcome: shapes are looked at, not classes. */
const pluginShape = z.object({
  name: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/),
  apiVersion: z.literal(PLUGIN_API_VERSION),
  capabilities: z.object({
    redirectedRoute: z.boolean(),
    transparentRoute: z.boolean(),
    manyHosts: z.boolean().optional(),
    copiesDisks: z.boolean(),
    postCopy: z.boolean(),
    survivesController: z.boolean(),
    drills: z.boolean().optional(),
    movesPoweredOff: z.boolean().optional(),
    movesDisksAlone: z.boolean().optional(),
  }),
  configSchema: z.custom<z.ZodType>(isSchema, 'must be a zod schema'),
  optionsSchema: z.custom<z.ZodType>(isSchema, 'must be a zod schema'),
  credentialKinds: z.array(credentialSchema.shape.kind).min(1).optional(),
  connect: z.custom(isFunction, 'must be a function'),
  migration: z.custom(isFunction, 'must be a function'),
  drill: z.custom((value) => value === undefined || isFunction(value), 'must be a function').optional(),
  relocation: z.custom((value) => value === undefined || isFunction(value), 'must be a function').optional(),
});

/** What it says that it can do is there, and nothing is there that it does not say. */
const wholePluginShape = pluginShape
  .refine(({ capabilities: { drills = false }, drill }) => drills === isFunction(drill), {
    path: ['drill'],
    message: 'is there exactly when capabilities.drills says so',
  })
  .refine(({ capabilities: { movesPoweredOff = false }, relocation }) => movesPoweredOff === isFunction(relocation), {
    path: ['relocation'],
    message: 'is there exactly when capabilities.movesPoweredOff says so',
  });

/** @throws LmasError PLUGIN_INVALID that names everything wrong with it */
export function validatePlugin(origin: string, value: unknown): HypervisorPlugin {
  const parsed = wholePluginShape.safeParse(value);
  if (!parsed.success) {
    const complaints = parsed.error.issues.map(
      ({ path, message }) => `${path.join('.') || 'default export'}: ${message}`,
    );
    throw new LmasError(
      'PLUGIN_INVALID',
      `${origin} is no plugin for API version ${PLUGIN_API_VERSION}: ${complaints.join('; ')}`,
    );
  }
  return value as HypervisorPlugin;
}

export function createRegistry(plugins: readonly HypervisorPlugin[]): PluginRegistry {
  const byName = new Map<string, HypervisorPlugin>();
  for (const plugin of plugins) {
    if (byName.has(plugin.name)) throw new LmasError('PLUGIN_INVALID', `Two plugins are called ${plugin.name}.`);
    byName.set(plugin.name, plugin);
  }
  return {
    find: (name) => byName.get(name),
    get(name) {
      const plugin = byName.get(name);
      if (plugin === undefined) throw new LmasError('PLUGIN_INVALID', `Plugin ${name} is not loaded (LMAS_PLUGINS).`);
      return plugin;
    },
    all: () => [...byName.values()],
  };
}

/** Loads each package (or absolute path) that the configuration names. @throws LmasError PLUGIN_INVALID */
export async function loadPlugins(specifiers: readonly string[]): Promise<PluginRegistry> {
  const plugins: HypervisorPlugin[] = [];
  for (const specifier of specifiers) {
    let loaded: { default?: unknown };
    try {
      loaded = await import(isAbsolute(specifier) ? pathToFileURL(specifier).href : specifier);
    } catch (cause) {
      throw new LmasError('PLUGIN_INVALID', `${specifier} cannot be loaded: ${String(cause)}`, { cause });
    }
    plugins.push(validatePlugin(specifier, loaded.default));
  }
  return createRegistry(plugins);
}
