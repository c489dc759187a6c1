/**
 * A hypervisor that is not there: the contract kept to the letter by hosts in memory, with faults and delays on command.
 * For tests of the workflow, for load, and for people who try the API without hypervisors.
 */
import { type EndpointSession, type HypervisorPlugin, PLUGIN_API_VERSION, PluginError } from '@lmas/plugin-api';
import { configSchema, optionsSchema, type SimulatedConfig, type SimulatedOptions } from './config.ts';
import { SimulatedDrill } from './drill.ts';
import { SimulatedMigration } from './migration.ts';
import { SimulatedRelocation } from './relocation.ts';
import { SimulatedSession } from './session.ts';

export { WorldConnection } from './client.ts';

export const simulatedPlugin: HypervisorPlugin<SimulatedConfig, SimulatedOptions> = {
  name: 'simulated',
  apiVersion: PLUGIN_API_VERSION,
  capabilities: {
    redirectedRoute: true,
    transparentRoute: false,
    copiesDisks: true,
    postCopy: false,
    survivesController: true,
    drills: true,
    movesPoweredOff: true,
  },
  configSchema,
  optionsSchema,
  connect: async (config, { run }) => await SimulatedSession.open(config, run),
  unreachable: (config, reason) => SimulatedSession.unreachable(config, reason),
  migration: (ends, request, context) => new SimulatedMigration(connectionsOf(ends), request, context),
  drill: (ends, request, context) => new SimulatedDrill(connectionsOf(ends), request, context),
  relocation: (ends, request, context) => new SimulatedRelocation(connectionsOf(ends), request, context),
};

/** @throws PluginError INVALID_CONFIG when they are no two hosts of one world */
function connectionsOf({ source, destination }: { source: EndpointSession; destination: EndpointSession }) {
  if (!(source instanceof SimulatedSession) || !(destination instanceof SimulatedSession)) {
    throw new PluginError('INVALID_CONFIG', 'Both ends of a migration have to be sessions of the simulated plugin.');
  }
  if (source.connection.place !== destination.connection.place) {
    throw new PluginError('INVALID_CONFIG', 'The two hosts are in different worlds.');
  }
  return { source: source.connection, destination: destination.connection };
}

export default simulatedPlugin;
