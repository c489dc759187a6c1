/**
 * How a migration ends: decided once, before the teardown. And the words for a person where no machine may decide.
 */
import type { VmPlacement } from '@lmas/plugin-api';
import { describeError, errorCode } from '../errors.ts';
import type { Outcome } from '../migrations/phases.ts';
import type { Migration, MigrationError } from '../migrations/record.ts';
import { whyNoOtherAttempt } from './retry.ts';
import type { Run } from './run.ts';
import { mayHaveBeenLetGo } from './silence.ts';
import { phaseOf } from './stages.ts';

export interface Ending {
  readonly outcome: Outcome;
  readonly where: Migration['where'];
  readonly error: MigrationError | null;
  readonly report: Migration['report'];
  readonly byHand: string | null;
  /** Nothing is settled yet: it is gone on with as soon as both ends can be asked (settle-late.ts). */
  readonly isOpen?: boolean;
}

export function succeeded(report: Migration['report']): Ending {
  return { outcome: 'succeeded', where: 'destination', error: null, report, byHand: null };
}

/**
 * The report of what has ended with `outcome`. A cancel is granted while the VM may still be kept back; whoever asked for it is told why it
 * was not. The copy of a drill is undone by it as by its time: that is no broken promise.
 */
export function toldOfLateCancel(
  { report, cancelRequestedAt, purpose }: Pick<Migration, 'report' | 'cancelRequestedAt' | 'purpose'>,
  outcome: Migration['phase'],
): Migration['report'] {
  if (cancelRequestedAt === null || outcome !== 'succeeded' || purpose === 'drill' || report === null) return report;
  const warning = `A cancel was asked for at ${cancelRequestedAt}; nothing stopped the move before the VM had arrived.`;
  return { ...report, warnings: [...report.warnings, warning] };
}

/**
 * The VM is at the source, as far as that was seen, and stays where it is; `error` says why.
 * @param there what the destination said at last, of a VM that it was told of
 */
export function notMigrated(run: Run, error: MigrationError, there?: VmPlacement['destination']): Ending {
  const outcome = error.code === 'CANCELLED' ? 'cancelled' : 'failed';
  // Without an id nobody has found it: a record must not claim more than was seen.
  const where = run.migration.vm.id === null ? 'unknown' : 'source';
  const byHand = there === 'stopped' ? definitionLeft(run.migration) : null;
  return { outcome, where, error: outcome === 'cancelled' ? null : error, report: null, byHand };
}

const definitionLeft = ({ vm, destination }: Migration): string =>
  `VM ${vm.name} is at the source. ${destination.endpoint} still has a definition of it, which was not removed. Never start it ` +
  'there. Remove it before the next attempt, unless somebody else has put it there (libvirt: virsh undefine --keep-nvram).';

/**
 * The VM stands still at the source and could not be resumed. While the destination still holds an incoming copy, nobody can
 * say that it will not run there.
 */
export function pausedAtSource(
  run: Run,
  { destination: there }: Pick<VmPlacement, 'destination'>,
  failure: MigrationError,
): Ending {
  const { vm, source, destination } = run.migration;
  const where = there === 'absent' ? 'source' : 'unknown';
  const byHand =
    `VM ${vm.name} is paused at the source, ${source.endpoint}. Resume it there when ${destination.endpoint} neither runs nor ` +
    `holds it (it said: ${there}) and no other job of the VM is under way at the source (libvirt: virsh list --all at ` +
    'both, virsh domjobinfo and virsh resume at the source; plain Xen: xl list -v at both, xl rename and xl resume at the ' +
    'source). Never resume it while the destination has a copy.';
  const { error, ...ending } = notMigrated(run, failure);
  const remedy = 'Do what `byHand` says, before anything else.';
  return { ...ending, error: error === null ? null : { ...error, remedy }, where, byHand, isOpen: true };
}

/**
 * Nobody can say, or two run: nothing was destroyed, nothing resumed.
 * @param first what went wrong before all this
 * @param words what a person has to do
 */
export function undecided(
  run: Run,
  where: 'both' | 'unknown',
  reason: unknown,
  first: MigrationError | null = null,
  words = byHand(run, where),
): Ending {
  const said = toMigrationError(run, reason);
  return {
    outcome: 'failed',
    where,
    error: {
      ...said,
      // Who has to look needs the hypervisor's own word for what went wrong, and that was said first.
      native: said.native ?? first?.native ?? null,
      remedy: 'Do what `byHand` says, before anything else.',
      cause: first === null ? null : { code: first.code, message: first.message },
    },
    report: null,
    byHand: words,
    isOpen: true,
  };
}

/** From an endpoint to itself: the VM stays on its host. */
export const movesDisksAlone = ({ source, destination }: Pick<Migration, 'source' | 'destination'>): boolean =>
  source.endpoint === destination.endpoint;

/** The guest runs at the destination; what is left of it at the source could not be taken away, and is left to a person. */
export function arrivedUntidied(run: Run): Ending {
  const { vm, source } = run.migration;
  const { keptAtSource = [], sourceDefinition = null, warnings = [] } = run.notes.prepared?.atSource ?? {};
  return {
    outcome: 'succeeded',
    where: 'destination',
    error: null,
    report: {
      ...{ downtimeMs: null, bytesTransferred: null, iterations: null, sourceDefinition },
      keptAtSource: [{ kind: 'old copy', id: vm.name }, ...keptAtSource],
      warnings: [`${source.endpoint} could not be tidied in time.`, ...warnings],
    },
    byHand:
      `VM ${vm.name} runs at the destination. When ${source.endpoint} is back, never start or resume it there: once it answers, the ` +
      'old copy is taken away by itself, or by hand: destroy the paused one, if the migration has left one, and remove its definition ' +
      '(libvirt: virsh domstate --reason says "migrating"; virsh destroy, virsh undefine --keep-nvram; its disks stay). One that somebody, or ' +
      'an error, has paused may hold what counts: look first. If it is started with its host there, do that ' +
      'before the host is back on its networks.',
    isOpen: true,
  };
}

/** What an ending leaves that is open, in words. */
export function openInWords({ where, vm, source, destination, purpose }: Migration): string {
  if (purpose === 'relocation')
    return `VM ${vm.name}, which was powered off: it is not clear where it is; see \`byHand\``;
  if (movesDisksAlone({ source, destination }))
    return `the disks of VM ${vm.name}: it is not clear where they are; see \`byHand\``;
  const what = {
    source: `VM ${vm.name}: it stands still at ${source.endpoint}`,
    destination: `the old copy of VM ${vm.name} at ${source.endpoint}: left alone, it did not answer`,
    both: `VM ${vm.name}: it runs at both ends`,
    unknown: `VM ${vm.name}: nobody knows where it runs`,
  };
  return `${what[where]}; see \`byHand\``;
}

/** One VM, at one endpoint: whoever looked for a second one to remove would remove the only one. */
function disksByHand({ vm, source }: Migration, unheard: string | null): string {
  return (
    `${unheard === null ? '' : `${unheard} `}It could not be made sure whether the disks of VM ${vm.name} have moved; nothing was destroyed. ` +
    `There is one VM, at ${source.endpoint}, and it never left its host: remove nothing, and start nothing. See there whether it is still ` +
    'being relocated, and in which datastores its disks are. Once the endpoint can be asked again, this is brought to an end by itself.'
  );
}

/** @param unheard why an end does not answer, in words that name it: what a person may mend first */
export function byHand(
  known: Pick<Run, 'migration' | 'notes'>,
  where: 'both' | 'unknown',
  unheard: string | null = null,
): string {
  const { vm, source, destination } = known.migration;
  if (movesDisksAlone(known.migration)) return disksByHand(known.migration, unheard);
  const ends = `${source.endpoint} (source) and ${destination.endpoint} (destination)`;
  if (where === 'both') {
    return (
      `VM ${vm.name} runs on both ${ends}. Nothing was stopped. Find out which copy holds the data that counts, then ` +
      'power the other one off on its own host and remove its definition there. Do not start it again.'
    );
  }
  const mayStandPaused = known.notes.prepared?.neverLeftPaused !== true;
  const untilWhen =
    mayStandPaused && mayHaveBeenLetGo(known)
      ? ' (within an hour: after a longer silence what is paused at the source is not resumed, and a person is asked)'
      : '';
  const resume = mayStandPaused
    ? 'If it is paused at the source and the destination neither runs nor holds it, resume it at the source. '
    : '';
  const orResume = mayStandPaused ? 'resume or ' : '';
  const whySay = mayStandPaused ? ': what stands still at the source could be resumed else' : '';
  return (
    `${unheard === null ? '' : `${unheard} `}It could not be made sure where VM ${vm.name} runs; nothing was destroyed and nothing resumed. ` +
    `Look at ${ends}. If one of them runs it, leave it so and remove what is left of it at the other. ${resume}` +
    `Never ${orResume}start it at one end before you have seen that the other does not run it, at its hosts themselves: a record that says ` +
    '"stopped" may be wrong after a late failure. ' +
    `Once both can be asked again, it is brought to an end by itself${untilWhen}. So before you start it at any third place, see that neither ` +
    `of them can run it any more; and before that, or before you move it on from ${destination.endpoint} or remove it there, say that ` +
    `you look after it (lmas done)${whySay}.`
  );
}

/** Nothing is resumed any more: the VM may have run, and ended, at the destination while nobody could be asked (silence.ts). */
export function askedAfterSilence({ vm, source, destination }: Migration, there: VmPlacement['destination']): string {
  return (
    `VM ${vm.name} is paused at the source, ${source.endpoint}, and ${destination.endpoint} says "${there}". For more than an hour both ` +
    'could not be asked, and the guest may have been let go at the destination before: it may have run there, and been moved on, or shut ' +
    'down and removed. So it is not resumed by itself. Find that out at the hosts and from the people there (libvirt: ' +
    `/var/log/libvirt/qemu/${vm.name}.log at the destination). If it never ran there, and neither runs nor is held there, resume it at ` +
    'the source (virsh resume, xl resume). If it did, the copy at the source is older than its disks: never resume it, end it (virsh ' +
    'destroy, xl destroy), and say that you look after it (lmas done).'
  );
}

/** What to do next where the VM is safe at the source and whoever failed did not know better. */
const REMEDIES: Readonly<Record<string, string>> = {
  UNREACHABLE:
    'Check name, route, port and whether it is up (lmas check asks both ends), then submit the migration again.',
  CONNECTION_LOST: 'Check the network between the orchestrator and the hosts, then submit the migration again.',
  LOGIN_REFUSED:
    'Correct the credential of the endpoint; a refused one is tried again only after a long pause, so that no account gets locked.',
  STREAM_FAILED: 'Check the link (lmas link test) and the gateway machines, then submit the migration again.',
  BUSY: 'Wait until the other operation on the VM has ended, then submit the migration again.',
  TIMEOUT: 'Look why the hypervisor is slow to answer, then submit the migration again.',
  HYPERVISOR_FAULT: 'See `native` for what the hypervisor said, and its own log; then submit the migration again.',
  STAGE_TIMEOUT: 'Submit it again with a longer limit in `timeouts`, after a look at which phase took so long.',
  NO_PROGRESS:
    'Check the link (lmas link test). Where the VM’s dirty rate exceeds what the link carries, `progress.outlook` says what can be done; then submit the migration again.',
  INTERRUPTED: 'Submit the migration again.',
  GATEWAY_UNREACHABLE: 'Check that SSH to the gateway machine works, then submit the migration again.',
  GATEWAY_START_FAILED: 'Look for free memory and disk on the gateway machine, then submit the migration again.',
  GATEWAY_ENDED: 'Look at the gateway machine (memory, somebody who ended processes), then submit the migration again.',
  GATEWAY_CORRUPT:
    'Somebody changed the program at the gateway machine: find out who, then submit the migration again.',
  NO_FREE_PORT: 'Widen `tunnelPorts` of the site that listens, or wait for other migrations to end.',
  TUNNEL_NOT_ESTABLISHED:
    'Let the sites reach each other on `tunnelPorts` (firewall, NAT), then submit the migration again.',
};

/** An error in the words of the record, with what to do about it. */
export function toMigrationError(run: Run, cause: unknown): MigrationError {
  const facts = describeError(cause);
  if (facts.code === 'INTERNAL') run.log.error({ err: cause }, 'unexpected error');
  const { code, message, retryable, native } = facts;
  const remedies = [facts.remedy ?? REMEDIES[code] ?? null, whyNoOtherAttempt(run, code)];
  const remedy = remedies.filter((text) => text !== null).join(' ') || null;
  return { code, message, remedy, retryable, phase: phaseOf(run), native, cause: consequence(cause) };
}

/** What an ended gateway looked like from the hypervisors. */
function consequence(error: unknown): MigrationError['cause'] {
  if (errorCode(error) !== 'GATEWAY_ENDED' || !(error instanceof Error)) return null;
  const { code, message } = describeError(error.cause);
  return code === 'INTERNAL' ? null : { code, message };
}
