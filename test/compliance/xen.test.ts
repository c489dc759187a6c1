/** The Xen plugin against the suite, on the lab's XAPI endpoint. */
import xenPlugin from '@lmas/plugin-xen';
import { describePlugin } from './suite.ts';
import { XenWorld } from './xen-world.ts';

describePlugin('xen', { plugin: xenPlugin, makeWorld: () => XenWorld.make() });
