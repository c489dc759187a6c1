/**
 * The second mode of this package: hosts with plain Xen and xl, without XAPI. A plugin value of its own, for its endpoints,
 * options and capabilities are others: shared storage only, and the login is SSH.
 */
import { type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { Dom0 } from './client.ts';
import { configSchema, optionsSchema, type XlConfig, type XlOptions } from './config.ts';
import { type DriverTimes, XlMigration } from './driver.ts';
import { XlSession } from './session.ts';

/** @param times that tests shorten */
export const createXlPlugin = (times: DriverTimes = {}): HypervisorPlugin<XlConfig, XlOptions> => ({
  name: 'xl',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: false,
    postCopy: false,
    survivesController: true,
  },
  configSchema,
  optionsSchema,
  loginTarget: ({ host, port }) => `${host.toLowerCase()}:${port}`,
  async connect(config, context, { signal }) {
    return new XlSession(config, await Dom0.connect(config, context, { signal }));
  },
  unreachable: (config, reason) => new XlSession(config, new Dom0(config, reason)),
  migration({ source, destination }, request, context) {
    if (!(source instanceof XlSession) || !(destination instanceof XlSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be sessions of the xl plugin.');
    }
    return new XlMigration({ source, destination }, request, context, times);
  },
});

export default createXlPlugin();
