/** The simulated plugin against the suite. */
import { simulatedPlugin } from '@lmas/plugin-simulated';
import { describeDrills } from './drill-suite.ts';
import { describeRelocations } from './relocation-suite.ts';
import { servedDrillWorld, servedRelocationWorld, servedWorld } from './served-world.ts';
import { describePlugin } from './suite.ts';

for (const peerToPeer of [false, true]) {
  const options = simulatedPlugin.optionsSchema.parse({ peerToPeer });
  const makeWorld = () => servedWorld(simulatedPlugin);
  describePlugin(`simulated${peerToPeer ? ', peer to peer' : ''},`, { plugin: simulatedPlugin, options, makeWorld });
}

describeDrills('simulated', { plugin: simulatedPlugin, makeWorld: () => servedDrillWorld(simulatedPlugin) });
describeRelocations('simulated', { plugin: simulatedPlugin, makeWorld: () => servedRelocationWorld(simulatedPlugin) });
