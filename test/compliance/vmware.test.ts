/** The VMware plugin against the suite, on the lab's vSphere endpoint: by either of its doors, across vCenters and inside one. */
import { describePlugin } from './suite.ts';
import { plugin, VmwareWorld } from './vmware-world.ts';

for (const protocol of ['soap', 'json'] as const) {
  describePlugin(`vmware (${protocol})`, { plugin, makeWorld: () => VmwareWorld.make({ protocol }) });
}

describePlugin('vmware (one vCenter)', { plugin, makeWorld: () => VmwareWorld.make({ oneVCenter: true }) });
