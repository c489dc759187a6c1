/**
 * The Xen plugin: guests of XenServer and XCP-ng pools, through XAPI over HTTPS. No agent, nothing installed on the hosts.
 */
import { type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { XapiClient } from './client.ts';
import { configSchema, optionsSchema, type XenConfig, type XenOptions } from './config.ts';
import { type DriverTimes, XenMigration } from './migration/driver.ts';
import { XenSession } from './session.ts';

/** @param times that tests shorten */
export const createXenPlugin = (times: DriverTimes = {}): HypervisorPlugin<XenConfig, XenOptions> => ({
  name: 'xen',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: true,
    manyHosts: true,
    copiesDisks: true,
    postCopy: false,
    survivesController: true,
  },
  configSchema,
  optionsSchema,
  credentialKinds: ['password'],
  loginTarget: ({ host, port }) => `${host.toLowerCase()}:${port}`,
  async connect(config, { credential }, { signal }) {
    if (credential.kind !== 'password') {
      throw new PluginError('INVALID_CONFIG', 'A pool is logged in to with a user name and a password.', {
        remedy: 'Register a credential of kind "password" and give it to this endpoint.',
      });
    }
    return new XenSession(config, await XapiClient.open(config, credential, { signal }));
  },
  unreachable: (config, reason) => XenSession.unreachable(config, reason),
  migration({ source, destination }, request, context) {
    if (!(source instanceof XenSession) || !(destination instanceof XenSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be sessions of the xen plugin.');
    }
    return new XenMigration({ source, destination }, request, context, times);
  },
});

export default createXenPlugin();
