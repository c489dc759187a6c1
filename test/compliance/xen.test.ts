/** The Xen plugin against the suite, on the lab's XAPI endpoint. */
import { describePlugin } from './suite.ts';
import { plugin, XenWorld } from './xen-world.ts';

describePlugin('xen', { plugin, makeWorld: () => XenWorld.make() });
