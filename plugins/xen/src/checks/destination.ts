/** The host that shall receive: alive, not older, large enough, and without a VM of that name in the way. */
import { blocker, type Finding, note, warning } from '@lmas/plugin-api';
import { isFault } from '../errors.ts';
import { usesPoolMigrate } from '../migration/call.ts';
import { isThereAlready, twinOf } from '../migration/plan.ts';
import { lookFirst } from '../migration/to-be-had.ts';
import { isGuest, isLive, memoryFree, withoutStorageMotion } from '../pool.ts';
import { bytesSchema } from '../records.ts';
import { compareVersions, releaseOf } from '../release.ts';
import type { CheckContext } from './types.ts';

type ChosenHost = NonNullable<CheckContext['plan']['host']>;

const mib = (bytes: number): string => `${Math.round(bytes / 1024 ** 2)} MiB`;

export async function checkDestination(context: CheckContext): Promise<Finding[]> {
  return [
    ...(await checkHost(context)),
    ...checkLicence(context),
    ...checkTwins(context),
    ...checkSites(context),
    ...checkLimits(context),
  ];
}

async function checkHost(context: CheckContext): Promise<Finding[]> {
  const { host, destinationPool: pool, sourcePool, vm } = context.plan;
  if (host === undefined) return [];
  const findings: Finding[] = [];
  const name = host.record.name_label;
  if (!isLive(pool, host.record)) {
    findings.push(
      blocker('HOST_NOT_READY', `${name} is disabled or not alive.`, 'Enable it, or choose another destinationHost.'),
    );
  }
  findings.push(...(await checkMemory(context, host)));
  const cpus = Number(host.record.cpu_info.cpu_count ?? 0);
  if (cpus > 0 && vm.record.VCPUs_max > cpus) {
    findings.push(
      blocker(
        'NOT_ENOUGH_CPUS',
        `${name} has ${cpus} processors, the VM may have ${vm.record.VCPUs_max}; XAPI refuses that.`,
        'Choose another destinationHost, or lower VCPUs-max of the VM while it is shut down.',
      ),
    );
  }
  const before = sourcePool.hosts.get(vm.record.resident_on)?.software_version.platform_version;
  const after = host.record.software_version.platform_version;
  if (before !== undefined && after !== undefined && compareVersions(after, before) < 0) {
    findings.push(
      blocker(
        'OLDER_VERSION',
        `${name} runs platform ${after}, the source ${before}; XAPI never moves a VM to an older one.`,
        'Name a host that is not older in the option destinationHost, or update this one.',
      ),
    );
  }
  return findings;
}

/**
 * XAPI squeezes guests, this one and others there, down to their least, and decides by what is free then. Where it does not say how much that
 * is, nothing is refused for it here.
 */
async function checkMemory({ ends, plan, signal }: CheckContext, { ref, record }: ChosenHost): Promise<Finding[]> {
  const free = memoryFree(plan.destinationPool, record);
  const { memory_dynamic_min: least, memory_static_max: most } = plan.vm.record;
  if (free >= most) return [];
  let squeezed: number | undefined;
  try {
    squeezed = await ends.destination.client.call('host.compute_free_memory', [ref], bytesSchema, { signal });
  } catch (error) {
    if (!isFault(error)) throw error;
  }
  const finding = squeezed !== undefined && squeezed < least ? blocker : warning;
  const other = squeezed === undefined ? '' : `, ${mib(squeezed)} with its VMs squeezed to their least`;
  return [
    finding(
      'NOT_ENOUGH_MEMORY',
      `${record.name_label} has ${mib(free)} free${other}; the VM needs ${mib(least)} and may need ${mib(most)}.`,
      'Choose another destinationHost, or make room.',
    ),
  ];
}

/** Of `VM.migrate_send`, whether it copies disks or not; whichever of the two pools lacks it says so only when the tunnel is up. */
function checkLicence({ plan, request }: CheckContext): Finding[] {
  if (usesPoolMigrate(plan, request)) return [];
  const without = new Set([plan.sourcePool, plan.destinationPool].flatMap(withoutStorageMotion));
  if (without.size === 0) return [];
  const otherwise = plan.samePool
    ? ', or keep all disks on storage that both hosts see and move the VM over the transparent route, or directly (transport: direct).'
    : '.';
  return [
    blocker(
      'LICENCE',
      `The licence of ${[...without].join(' and ')} lacks Storage XenMotion, which this move needs of every host of the pool, even where no disk is copied.`,
      `License it${otherwise}`,
    ),
  ];
}

function checkTwins({ plan }: CheckContext): Finding[] {
  const { destinationGuests, vm, samePool } = plan;
  if (samePool) return [];
  const twin = twinOf(plan);
  if (twin !== undefined) {
    return [
      blocker(
        'VM_EXISTS',
        `The destination pool has a VM with this UUID already (${twin.power_state}).`,
        `${lookFirst(twin.uuid)} Remove a record only in the pool where it does not run.`,
      ),
    ];
  }
  const namesake = [...destinationGuests.vms.values()].find(
    (other) => isGuest(other) && other.name_label === vm.record.name_label,
  );
  if (namesake === undefined) return [];
  return [
    warning(
      'NAME_EXISTS',
      `The destination pool has another VM called ${namesake.name_label}.`,
      'Rename one of them if that confuses people.',
    ),
  ];
}

/** One pool at two sites: the host it runs on is what says at which of them it is, before and after. */
function checkSites({ ends, plan }: CheckContext): Finding[] {
  if (plan.host === undefined || !isThereAlready(ends, plan)) return [];
  return [
    blocker(
      'ALREADY_THERE',
      'The VM runs on a host of the destination already.',
      'Correct `hosts` of both endpoints if it does not; moves inside a site need no endpoint of another.',
    ),
  ];
}

function checkLimits({ request, plan }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  const release = releaseOf(plan.sourcePool);
  if (request.options.compress === true && !release.hasCompression) {
    findings.push(
      warning(
        'COMPRESSION_NOT_THERE',
        `${release.name} cannot compress what it sends, and is not asked to.`,
        'Leave the option compress out; the tunnel compresses by itself.',
      ),
    );
  }
  if (request.maxDowntimeMs !== null) {
    findings.push(
      note(
        'DOWNTIME_NOT_SET',
        'XAPI cannot be told how long the guest may stand still.',
        'Nothing has to be done; XAPI keeps it short by itself.',
      ),
    );
  }
  if (request.bandwidthBytesPerSec !== null && !request.tunnelled) {
    findings.push(
      warning(
        'BANDWIDTH_NOT_LIMITED',
        'XAPI cannot limit the bandwidth of a migration, and this one is direct (without a tunnel).',
        'Use the tunnel, whose gateways can.',
      ),
    );
  }
  return findings;
}
