/** Where the VM is now: it has to run at the source, and nobody may know it at the destination. */
import type { Finding } from '@lmas/plugin-api';
import { lookAtBoth } from '../migration/settle.ts';
import type { Sighting } from '../migration/sighting.ts';
import { blocker, type CheckContext } from './types.ts';

export async function checkPlaces(context: CheckContext): Promise<Finding[]> {
  const { ends, request, signal } = context;
  const findings: Finding[] = [];
  const { source, destination } = await lookAtBoth(ends, request.vm.id, { signal });
  if (source.presence !== 'running') {
    findings.push(blocker('VM_NOT_RUNNING', `The VM is ${source.presence} at the source.`, whatToDo(source)));
  }
  if (source.moving || source.foreignJob) {
    findings.push(
      blocker(
        'VM_BUSY',
        'Another job (migration, backup, snapshot) is under way.',
        'Wait for it, or abort it there: virsh domjobabort.',
      ),
    );
  }
  return [...findings, ...(await checkKnownThere(context, destination))];
}

const whatToDo = ({ presence }: Sighting): string =>
  presence === 'stopped' ? 'Start it, or ask for it to be moved as it is: powerState `off`.' : 'Resume it.';

/** Neither the VM itself nor its name. */
export async function checkKnownThere({ ends, plan, signal }: CheckContext, destination: Sighting): Promise<Finding[]> {
  const findings: Finding[] = [];
  if (destination.presence !== 'absent' && destination.presence !== 'unreachable') {
    findings.push(
      blocker(
        'VM_KNOWN_AT_DESTINATION',
        `The destination has a VM with this UUID already (${destination.presence}).`,
        'If it is a leftover definition, remove it there: virsh undefine --keep-nvram.',
      ),
    );
  } else if (destination.presence === 'absent') {
    const client = await ends.destination.query({ signal });
    if ((await client.lookupByName(plan.definition.name, { signal })) !== null) {
      findings.push(
        blocker(
          'NAME_TAKEN_AT_DESTINATION',
          `The destination has another VM called ${plan.definition.name}.`,
          'Rename one of the two while it is off (virsh domrename), or remove the one there if nobody needs it.',
        ),
      );
    }
  }
  return findings;
}
