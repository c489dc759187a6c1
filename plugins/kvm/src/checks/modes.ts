/** What the mode of driving asks of the hosts, and what it risks: direct, peer to peer, post-copy. */
import type { Finding } from '@lmas/plugin-api';
import { VERSION_8_5 } from '../client.ts';
import { versionText } from '../session.ts';
import { blocker, type CheckContext, note, warning } from './types.ts';

export async function checkModes(context: CheckContext): Promise<Finding[]> {
  const { mode, postCopy } = context.request.options;
  if (mode === 'direct') return [DIRECT_WINDOW];
  return [...checkPeerToPeer(context), PEER_TO_PEER_WINDOW, ...(postCopy ? await checkPostCopy(context) : [])];
}

const DIRECT_WINDOW = note(
  'DIRECT_MODE_WINDOW',
  'If the orchestrator dies while memory flows, libvirt gives up and the VM runs on at the source; if it dies in the moment between the last byte of memory and the start at the destination, the VM stands still until an orchestrator runs again and has asked both hosts.',
  'In mode peer-to-peer the source host takes the migration to its end by itself; but there libvirt may leave two running copies when the daemons lose each other during the hand-over.',
);

/** doPeer2PeerMigrate3 in libvirt's qemu_migration.c: Confirm is "cancelled" whenever Finish brought no domain back. */
const PEER_TO_PEER_WINDOW = warning(
  'PEER_TO_PEER_WINDOW',
  'If the control connection between the hosts breaks during the hand-over, libvirt resumes the VM at the source although the destination may run it already. Two copies then write to their disks, and nothing of ours can prevent it.',
  'Use direct mode, which resumes nothing before the destination has answered; or run a lock manager (virtlockd or sanlock) on both hosts, over storage that both see.',
);

function checkPeerToPeer({ ends }: CheckContext): Finding[] {
  if (ends.destination.config.peerToPeer !== undefined) return [];
  return [
    blocker(
      'PEER_TO_PEER_NOT_SET_UP',
      'The destination endpoint does not say how the source host can reach its libvirt.',
      'Set peerToPeer: qemu+tcp needs listen_tcp there, qemu+tls certificates, qemu+ssh a key of the source host; or use direct mode.',
    ),
  ];
}

async function checkPostCopy(context: CheckContext): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const end of ['source', 'destination'] as const) {
    const version = await (await context.ends[end].query(context)).libvirtVersion(context);
    if (version >= VERSION_8_5) continue;
    findings.push(
      blocker(
        `POST_COPY_LIBVIRT_TOO_OLD_AT_${end.toUpperCase()}`,
        `Post-copy needs libvirt 8.5 at both ends, because older ones cannot recover it; the ${end} has ${versionText(version)}.`,
        'Update libvirt there, or migrate without post-copy.',
      ),
    );
  }
  if (!(await mayUseUserfaultfd(context))) {
    findings.push(
      warning(
        'POST_COPY_USERFAULTFD',
        'The destination lets only privileged processes use userfaultfd, which post-copy needs.',
        'Unless QEMU runs as root there, set vm.unprivileged_userfaultfd=1 (sysctl); if QEMU may not, the migration is refused before anything moves.',
      ),
    );
  }
  findings.push(
    warning(
      'POST_COPY_RISK',
      'Once post-copy has started, neither host holds the whole VM: if one of them or the link is lost for good before the rest of the memory is over, so is the VM. It cannot be cancelled then.',
      'A broken link is mended and the migration recovered by itself; use post-copy for VMs that write too fast for anything else.',
    ),
  );
  return findings;
}

async function mayUseUserfaultfd({ ends, signal }: CheckContext): Promise<boolean> {
  const command = ['cat', '/proc/sys/vm/unprivileged_userfaultfd'];
  const { stdout, exitCode } = await ends.destination.transport.exec(command, { signal });
  // Kernels before 5.2 have no such setting, and let everybody.
  return exitCode !== 0 || stdout.toString('utf8').trim() !== '0';
}
