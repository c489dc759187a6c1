/**
 * The KVM plugin: QEMU and KVM guests under libvirt, over libvirt's own RPC through SSH. No virsh, no agent on the hosts.
 */
import { type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { configSchema, type KvmConfig, type KvmOptions, optionsSchema } from './config.ts';
import { KvmDrill } from './drill/driver.ts';
import { KvmMigration } from './migration/driver.ts';
import { KvmRelocation } from './relocation/driver.ts';
import { KvmSession } from './session.ts';
import { connectTransport } from './transport.ts';

export const kvmPlugin: HypervisorPlugin<KvmConfig, KvmOptions> = {
  name: 'kvm',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: true,
    postCopy: true,
    survivesController: true,
    drills: true,
    movesPoweredOff: true,
  },
  configSchema,
  optionsSchema,
  // libvirt's own socket may refuse the login as well.
  loginTarget: ({ host, port, socketPath }) => `${host.toLowerCase()}:${port} ${socketPath}`,
  async connect(config, context, { signal }) {
    return KvmSession.open(config, await connectTransport(config, context, { signal }), { signal });
  },
  unreachable: (config, reason) => KvmSession.unreachable(config, reason),
  migration({ source, destination }, request, context) {
    if (!(source instanceof KvmSession) || !(destination instanceof KvmSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be sessions of the kvm plugin.');
    }
    return new KvmMigration({ source, destination }, request, context);
  },
  drill({ source, destination }, request, context) {
    if (!(source instanceof KvmSession) || !(destination instanceof KvmSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a drill have to be sessions of the kvm plugin.');
    }
    return new KvmDrill({ source, destination }, request, context);
  },
  relocation({ source, destination }, request, context) {
    if (!(source instanceof KvmSession) || !(destination instanceof KvmSession)) {
      throw new PluginError('INVALID_CONFIG', 'Both ends of a relocation have to be sessions of the kvm plugin.');
    }
    return new KvmRelocation({ source, destination }, request, context);
  },
};

export default kvmPlugin;
