/** Who else thinks that it owns the VM, would not know where it went, and might start it again. */
import type { Finding } from '@lmas/plugin-api';
import { isAnyThere } from '../files.ts';
import { blocker, type CheckContext, warning } from './types.ts';

/** What its metadata, its hardware or its name tell. */
export async function checkOwner(context: CheckContext): Promise<Finding[]> {
  const { managedBy } = context.plan.definition;
  if (managedBy === null) return [];
  const message = `The VM belongs to ${managedBy}, which would not know where it went and might start it again.`;
  const remedy = `Migrate it with ${managedBy}, or take it out of its care and set allowManaged.`;
  return [severityFor(context)('MANAGED_BY_OTHER', message, remedy)];
}

/**
 * Pacemaker's agent for libvirt writes nothing into the VM: it leaves a file of its own at every host where it has looked at it,
 * which is gone only when the host is started anew (update_emulator_cache in ClusterLabs' heartbeat/VirtualDomain, since 2014;
 * ocf-directories says where, as distributions build it and as ClusterLabs does).
 */
const AGENT_DIRECTORIES = ['/run/resource-agents', '/var/run/resource-agents'];

export async function checkCluster(context: CheckContext): Promise<Finding[]> {
  const { ends, plan, signal } = context;
  const { name } = plan.definition;
  const traces = AGENT_DIRECTORIES.map((directory) => `${directory}/VirtualDomain-${name}-emu.state`);
  if (!(await isAnyThere(ends.source.transport, traces, { signal }))) return [];
  const finding = severityFor(context);
  return [
    finding(
      'MANAGED_BY_OTHER',
      'Pacemaker looks after the VM at the source (its agent VirtualDomain has left a file there): once the VM is gone, its monitor finds it stopped and starts a second copy.',
      'Move it with Pacemaker. Or let Pacemaker leave it alone (pcs resource unmanage; deleting the resource now would stop the VM), set allowManaged, and delete the resource once the VM has moved. If it has long been out of the cluster, allowManaged is enough.',
    ),
  ];
}

const severityFor = ({ request }: CheckContext): typeof blocker => (request.options.allowManaged ? warning : blocker);
