/**
 * Did an intercepted migration really go through the tunnel? A hypervisor that is redirected has nobody else to talk to; where gateways
 * only stand on its way, a wrong route leads past them, and the migration succeeds all the same: slower, and as clear as the hypervisor
 * makes it. Nobody would notice; so what the tunnel has delivered is held against the guest's memory.
 */
import type { Tunnel } from '../gateways/tunnel.ts';
import type { Ending } from './ending.ts';
import { recordTunnel } from './progress.ts';
import type { Run } from './run.ts';

/** Less of it than this came through. */
const LEAST_SHARE = 1 / 10;
/**
 * A guest that never used most of its memory does with less; where the hypervisor counts what it moves (KVM), that tells. vSphere and XAPI
 * count nothing, and a large guest that has just started is a few hundred MiB to them: so no more is asked for than any guest has that has
 * come up. What went past the gateways altogether leaves next to nothing in them, a few handshakes.
 */
const LEAST_UNCOUNTED_BYTES = 64 * 2 ** 20;

/** The ending, with a warning in its report where the migration seems to have gone past the tunnel. */
export async function warnedOfBypass(run: Run, tunnel: Tunnel | undefined, ending: Ending): Promise<Ending> {
  const { report } = ending;
  const isIntercepted = (run.notes.prepared?.transparentFlows ?? []).length > 0;
  if (report === null || !isIntercepted || run.migration.request.transport !== 'tunnel') return ending;
  if (tunnel !== undefined) await recordTunnel(run, tunnel);
  const text = bypassInWords({
    deliveredBytes: run.migration.tunnel?.bytesDelivered ?? null,
    memoryBytes: run.notes.memoryBytes,
    movedBytes: report.bytesTransferred,
    hosts: [run.migration.source.endpoint, run.migration.destination.endpoint],
  });
  if (text === null) return ending;
  run.log.warn({}, text);
  return { ...ending, report: { ...report, warnings: [...report.warnings, text] } };
}

interface Facts {
  /** null: nobody knows. */
  readonly deliveredBytes: number | null;
  readonly memoryBytes: number | null;
  /** What the hypervisor says that it has moved, where it counts that. */
  readonly movedBytes: number | null;
  readonly hosts: readonly [source: string, destination: string];
}

/** Pure. null: nothing is wrong, or nobody can tell. */
export function bypassInWords({ deliveredBytes, memoryBytes, movedBytes, hosts }: Facts): string | null {
  if (deliveredBytes === null || memoryBytes === null) return null;
  const leastBytes =
    movedBytes === null
      ? Math.min(memoryBytes * LEAST_SHARE, LEAST_UNCOUNTED_BYTES)
      : Math.min(memoryBytes, movedBytes) * LEAST_SHARE;
  if (deliveredBytes >= leastBytes) return null;
  return (
    `NOT_THROUGH_TUNNEL: the tunnel has delivered ${mib(deliveredBytes)} of a VM with ${mib(memoryBytes)} of memory, so its migration ` +
    'seems to have gone past the gateways, as clear as the hypervisor makes it. Look at the routes between the hosts behind ' +
    `${hosts.join(' and ')}: at each of them the next hop towards the other one's migration address must be the gateway ` +
    '(ip route get; for vMotion: esxcli network ip route ipv4 list --netstack=vmotion). At the gateway machines `lmas-gateway doctor --mode transparent` ' +
    'says whether they can intercept. See docs/transparent-mode.md.'
  );
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
