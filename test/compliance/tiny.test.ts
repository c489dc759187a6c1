/** The plugin of docs/plugin-guide.md against the suite. */
import tinyPlugin from '../../docs/examples/tiny-plugin/plugin.ts';
import { servedWorld } from './served-world.ts';
import { describePlugin } from './suite.ts';

describePlugin('tiny', { plugin: tinyPlugin, makeWorld: () => servedWorld(tinyPlugin) });
