/**
 * The plugin: a plain value, the default export of its package.
 */
import { type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { z } from 'zod';
import { Client } from './client.ts';
import { TinyMigration } from './driver.ts';
import { TinySession } from './session.ts';

const configSchema = z.strictObject({
  host: z.string().min(1).describe('The name of the host.'),
  socketPath: z.string().min(1).describe('Where its control point listens.'),
});
const optionsSchema = z.strictObject({});

const tinyPlugin: HypervisorPlugin<z.output<typeof configSchema>, z.output<typeof optionsSchema>> = {
  name: 'tiny',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: false,
    postCopy: false,
    survivesController: false,
  },
  configSchema,
  optionsSchema,
  async connect(config, { run }, options) {
    return new TinySession(await Client.connect(config, run, options));
  },
  migration({ source, destination }, request, context) {
    if (!(source instanceof TinySession) || !(destination instanceof TinySession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be endpoints of the plugin "tiny".');
    }
    return new TinyMigration({ source: source.client, destination: destination.client }, request, context);
  },
};

export default tinyPlugin;
