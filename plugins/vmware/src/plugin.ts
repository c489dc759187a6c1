/**
 * The VMware plugin: guests of vCenters, moved by vMotion. No agent, nothing installed on the hosts.
 */
import { type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { VimClient } from './client.ts';
import { configSchema, optionsSchema, type VmwareConfig, type VmwareOptions } from './config.ts';
import { type DriverTimes, VmwareMigration } from './migration/driver.ts';
import { VmwareSession } from './session.ts';

/** Times that tests shorten. */
export type PluginTimes = DriverTimes & { readonly keepAliveMs?: number };

export const createVmwarePlugin = ({
  keepAliveMs,
  ...times
}: PluginTimes = {}): HypervisorPlugin<VmwareConfig, VmwareOptions> => ({
  name: 'vmware',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: false,
    transparentRoute: true,
    manyHosts: true,
    copiesDisks: true,
    postCopy: false,
    survivesController: true,
    movesDisksAlone: true,
  },
  configSchema,
  optionsSchema,
  credentialKinds: ['password'],
  loginTarget: ({ host, port }) => `${host.toLowerCase()}:${port}`,
  async connect(config, { credential, log }, { signal }) {
    if (credential.kind !== 'password') {
      throw new PluginError('INVALID_CONFIG', 'A vCenter is logged in to with a user name and a password.', {
        remedy: 'Register a credential of kind "password" and give it to this endpoint.',
      });
    }
    const settings = { signal, log, ...(keepAliveMs === undefined ? {} : { keepAliveMs }) };
    return new VmwareSession(config, await VimClient.open(config, credential, settings));
  },
  unreachable: (config, reason) => VmwareSession.unreachable(config, reason),
  migration({ source, destination }, request, context) {
    if (!(source instanceof VmwareSession) || !(destination instanceof VmwareSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be sessions of the vmware plugin.');
    }
    return new VmwareMigration({ source, destination }, request, context, times);
  },
});

export default createVmwarePlugin();
