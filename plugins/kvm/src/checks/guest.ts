/** What the guest is made of: devices that cannot follow it, snapshots. */
import type { Finding } from '@lmas/plugin-api';
import { VERSION_5_6 } from '../client.ts';
import { isFault } from '../errors.ts';
import { blocker, type CheckContext, warning } from './types.ts';

export async function checkGuest(context: CheckContext): Promise<Finding[]> {
  const { definition } = context.plan;
  const findings: Finding[] = [];
  for (const device of definition.hostDevices) {
    findings.push(
      blocker(
        'HOST_DEVICE',
        `The guest holds a device of the host: ${device}.`,
        'Detach it before the migration (virsh detach-device), and attach one of the destination afterwards.',
      ),
    );
  }
  if (definition.emulatedTpm) {
    findings.push(
      warning(
        'TPM_STATE_COPIED',
        'The guest has an emulated TPM: its state goes along with the memory.',
        'Make sure that swtpm is installed at the destination.',
      ),
    );
  }
  if (definition.hugePages) {
    findings.push(
      warning(
        'HUGE_PAGES',
        'The guest wants huge pages.',
        'Make sure that enough of them are free at the destination (virsh freepages --all).',
      ),
    );
  }
  findings.push(...(await checkSnapshots(context)), ...(await checkCheckpoints(context)));
  return findings;
}

async function checkSnapshots({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  const client = await ends.source.query({ signal });
  try {
    const args = { domain: plan.domain, needResults: 0, flags: 0 };
    const { count } = await client.call('domainListAllSnapshots', args, { signal });
    if (count === 0) return [];
    const message = `The VM has ${count} snapshot(s); libvirt does not migrate them.`;
    return [
      blocker(
        'SNAPSHOTS',
        message,
        'Delete them (virsh snapshot-delete), or only what libvirt knows of them (--metadata).',
      ),
    ];
  } catch (error) {
    if (isFault(error)) return [];
    throw error;
  }
}

/** Seen with libvirt 9.0: the VM moves, the destination knows of none. */
async function checkCheckpoints({ ends, plan, signal }: CheckContext): Promise<Finding[]> {
  const client = await ends.source.query({ signal });
  if ((await client.libvirtVersion({ signal })) < VERSION_5_6) return [];
  try {
    const args = { domain: plan.domain, needResults: 0, flags: 0 };
    const { count } = await client.call('domainListAllCheckpoints', args, { signal });
    if (count === 0) return [];
    const message = `The VM has ${count} checkpoint(s) of backups; libvirt forgets them when it moves.`;
    return [warning('CHECKPOINTS', message, 'Let the first backup at the destination be a full one.')];
  } catch (error) {
    if (isFault(error)) return [];
    throw error;
  }
}
