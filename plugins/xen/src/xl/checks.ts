/**
 * Everything that speaks against a migration with xl, in one sweep, from what both hosts tell. xl has no dry run: what is
 * overlooked here is found out when the destination builds the guest, which then runs on at the source.
 */
import {
  blocker,
  type CheckReport,
  type Finding,
  type MigrationRequest,
  note,
  PluginError,
  warning,
} from '@lmas/plugin-api';
import type { Description } from './client.ts';
import type { XlOptions } from './config.ts';

import { bridgesOf, type Guest, plainName, presenceOf } from './guests.ts';
import { compareVersions, type Domain, GIVEN_AWAY, type GuestConfig, INCOMING, readInfo } from './listing.ts';
import type { Ends } from './steps.ts';

const MIB = 1024 ** 2;
/** What a Dom0 can hardly do without: xl never shrinks it below what its configuration allows, which is not told. */
const DOM0_LEAST_MIB = 512;

interface CheckContext {
  readonly ends: Ends;
  readonly request: MigrationRequest<XlOptions>;
  readonly guest: Guest;
  readonly source: Description;
  readonly destination: Description;
  readonly guestsThere: readonly Guest[];
}

/** @throws PluginError VM_NOT_FOUND, and whatever the connections suffer */
export async function checkMigration(
  ends: Ends,
  request: MigrationRequest<XlOptions>,
  { signal }: { signal: AbortSignal },
): Promise<CheckReport> {
  const here = await ends.source.describe({ signal, all: true, name: request.vm.name, uuid: request.vm.id });
  const guest = here.guests.find(({ domain }) => domain.uuid === request.vm.id);
  if (guest === undefined) throw new PluginError('VM_NOT_FOUND', `The source runs no VM ${request.vm.id}.`);
  const paths = disksOf(guest.config).flatMap(({ pdev_path: path, script }) =>
    path === undefined || script !== undefined ? [] : [path],
  );
  const there = await ends.destination.describe({ signal, paths });
  const context: CheckContext = {
    ...{ ends, request, guest, source: here.description, destination: there.description },
    guestsThere: there.guests,
  };
  const checks = [checkGuest, checkHosts, checkRoom, checkNames, checkTurn, checkDisks, checkNetworks, checkWishes];
  const findings = checks.flatMap((check) => check(context));
  return { findings, memoryBytes: guest.domain.memoryMib * MIB, diskBytes: 0 };
}

const disksOf = (config: GuestConfig | null) =>
  (config?.disks ?? []).filter(({ pdev_path: path }) => path !== undefined && path !== '');

function checkGuest({ guest: { domain, config }, source }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  if (domain.paused || domain.suspended || domain.ended) {
    findings.push(
      blocker(
        'VM_NOT_RUNNING',
        `${domain.name} does not run.`,
        'See that it runs at no other host (xl list -v). If it was only paused: xl unpause. If it stands suspended: see what has left it so.',
      ),
    );
  }
  if (domain.name.endsWith(INCOMING) || domain.name.endsWith(GIVEN_AWAY)) {
    findings.push(
      blocker(
        'VM_BEING_MIGRATED',
        `${domain.name} is in the middle of a migration, or was left by one.`,
        'Look where the guest runs (xl list -v at every host that may have it). Only a copy that stands still may be destroyed, while another one runs.',
      ),
    );
  }
  for (const other of source.others) {
    findings.push(
      blocker('VM_BUSY', `${domain.name} is being saved or moved already: ${other}.`, 'Wait for its end, or stop it.'),
    );
  }
  if (config === null) {
    findings.push(
      blocker(
        'NO_CONFIGURATION',
        'xl keeps no configuration of this guest and would refuse to migrate it.',
        'Guests that were not started by xl can be moved by what started them.',
      ),
    );
  } else if (config.pcidevs.length > 0) {
    findings.push(
      blocker('PCI_DEVICE', `${domain.name} holds a PCI device of its host.`, 'Take it away: xl pci-detach.'),
    );
  }
  for (const file of source.autostart) {
    findings.push(
      warning(
        'STARTS_AT_BOOT',
        `The source starts this guest when it boots, also after it has moved: ${file}.`,
        'Remove that link as soon as the guest has moved, or there will be two.',
      ),
    );
  }
  return findings;
}

function checkHosts({ source, destination, request }: CheckContext): Finding[] {
  const [here, there] = [readInfo(source.info), readInfo(destination.info)];
  const findings: Finding[] = [];
  for (const [end, { root }] of [['source', source] as const, ['destination', destination] as const]) {
    if (!root) {
      findings.push(
        blocker('NOT_ROOT', `At the ${end} the login is not root’s.`, 'xl needs root: use a credential of root.'),
      );
    }
  }
  if (compareVersions(there.version, here.version) < 0) {
    findings.push(
      blocker(
        'OLDER_VERSION',
        `The destination runs Xen ${there.version}, the source ${here.version}.`,
        'Xen moves guests to the same or a newer version only.',
      ),
    );
  }
  if (there.cpuFeatures !== here.cpuFeatures) {
    const finding = request.options.allowOtherCpu ? warning : blocker;
    findings.push(
      finding(
        'CPU_DIFFERS',
        'The processors of the two hosts have different features; xl does not compare them, and the guest may crash there.',
        'Level them (cpuid= in the guest’s configuration), then set the option allowOtherCpu.',
      ),
    );
  }
  if (!source.resumes) {
    findings.push(
      warning(
        'CANNOT_RESUME',
        'The source’s xl has no "resume": if the link is lost in the last moment, the guest may stand still there, and only by force (xl destroy, then start it again) be had back.',
        'Update Xen at the source to a release whose xl can resume, or accept that.',
      ),
    );
  }
  return findings;
}

function checkRoom({ guest, destination, guestsThere }: CheckContext): Finding[] {
  const { freeMib, memoryMib } = readInfo(destination.info);
  const needed = guest.domain.memoryMib;
  if (freeMib >= needed) return [];
  // With dom0_mem unset xl takes the rest from Dom0, which owns all that no guest has.
  const guestsMib = guestsThere.reduce((sum, { domain }) => sum + domain.memoryMib, 0);
  const most = memoryMib - guestsMib - DOM0_LEAST_MIB;
  const finding = most < needed ? blocker : warning;
  return [
    finding(
      'NOT_ENOUGH_MEMORY',
      `The destination has ${freeMib} MiB free, the guest needs ${needed} MiB; the rest could only come from Dom0.`,
      'Make room, or see that Dom0 may be ballooned (autoballoon in xl.conf).',
    ),
  ];
}

/** A name that is taken makes the last step of the migration fail, the renaming of the guest that has come. */
function checkNames(context: CheckContext): Finding[] {
  const { guest, guestsThere } = context;
  const { uuid, name } = guest.domain;
  const twin = guestsThere.find(({ domain }) => domain.uuid === uuid)?.domain;
  if (twin?.name.endsWith(INCOMING) && twin.paused) return [checkCopy(context, twin)];
  if (twin !== undefined) {
    return [
      blocker(
        'VM_EXISTS',
        `The destination has a guest with this UUID already (${twin.name}).`,
        'Leave alone what runs. Only a copy that stands still may be destroyed, while the other one runs (xl list -v at both).',
      ),
    ];
  }
  const taken = guestsThere.find(({ domain }) => plainName(domain.name) === plainName(name));
  if (taken === undefined) return [];
  return [
    blocker('NAME_EXISTS', `The destination has another guest called ${taken.domain.name}.`, 'Rename one: xl rename.'),
  ];
}

/** It is paused and waits for its permission, or nobody is left who could give it. */
function checkCopy({ destination, guest }: CheckContext, { name, domid }: Domain): Finding {
  if (destination.left.some((left) => left.domid === domid) && presenceOf(guest.domain) === 'running') {
    return warning(
      'COPY_LEFT_BEHIND',
      `An earlier migration has left ${name} at the destination. It never ran, and this migration destroys it.`,
      'Nothing has to be done.',
    );
  }
  return blocker(
    'COPY_THERE',
    `The destination has ${name}, which is being received, or was left when that broke off.`,
    `If no xl migrate-receive runs there any more, it never ran. Where the guest runs at the source: xl destroy ${domid} at the destination.`,
  );
}

/** xl makes one guest at a time, and a stream has its turn from its first byte to its last. */
function checkTurn({ destination }: CheckContext): Finding[] {
  if (destination.receiving === null) return [];
  return [
    warning(
      'RECEIVES_ANOTHER',
      `The destination is busy: ${destination.receiving}.`,
      'Begin when the other one is over. Endpoints that are limited to one migration (PUT /v1/endpoints/{id}/limits) have theirs wait.',
    ),
  ];
}

function checkDisks({ guest, ends, destination, request }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  const shared = [ends.source, ends.destination].map(({ config }) => config.sharedPaths);
  for (const { vdev, pdev_path: path = '', script } of disksOf(guest.config)) {
    if (script !== undefined) {
      findings.push(
        note(
          'DISK_BY_SCRIPT',
          `Disk ${vdev} is set up by ${script}; whether both hosts reach it only that script knows.`,
          'See that the script and its storage are there at the destination.',
        ),
      );
    } else if (!shared.every((paths) => paths.some((below) => isBelow(path, below)))) {
      findings.push(
        blocker(
          'DISK_NOT_SHARED',
          `Disk ${vdev} is ${path}, which is not said to be shared; xl copies no disks.`,
          'If both hosts see the same storage there, name it in sharedPaths of both endpoints.',
        ),
      );
    } else if (destination.missing.includes(path)) {
      findings.push(
        blocker('DISK_MISSING', `The destination has no ${path} for disk ${vdev}.`, 'Attach the storage there.'),
      );
    }
  }
  if (Object.keys(request.diskMap).length > 0) {
    findings.push(
      blocker('DISKS_STAY', 'xl cannot give a disk another place on the way.', 'Leave the disk map empty.'),
    );
  }
  return findings;
}

const isBelow = (path: string, directory: string): boolean =>
  path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`);

function checkNetworks({ guest, destination, request }: CheckContext): Finding[] {
  const bridges = [...new Set(bridgesOf(guest))];
  const findings = bridges
    .filter((bridge) => !destination.interfaces.includes(bridge))
    .map((bridge) =>
      blocker('NETWORK_MISSING', `The destination has no bridge ${bridge}.`, 'Make one of that name there.'),
    );
  for (const name of Object.keys(request.networkMap).filter((each) => !bridges.includes(each))) {
    findings.push(
      blocker(
        'NETWORK_UNKNOWN',
        `The network map names ${name}, which the VM does not have.`,
        `Correct the network map: its bridges are ${bridges.join(', ') || 'none'}.`,
      ),
    );
  }
  const moved = bridges.filter((bridge) => (request.networkMap[bridge] ?? bridge) !== bridge);
  if (moved.length > 0) {
    findings.push(
      blocker(
        'NETWORKS_STAY',
        `xl cannot put ${moved.join(', ')} onto another bridge on the way.`,
        'Give the destination bridges of the same names.',
      ),
    );
  }
  return findings;
}

function checkWishes({ request }: CheckContext): Finding[] {
  const findings: Finding[] = [];
  if (request.maxDowntimeMs !== null) {
    findings.push(
      note(
        'DOWNTIME_NOT_SET',
        'xl cannot be told how long the guest may stand still.',
        'Nothing has to be done; it sends the memory a few times over, then the rest.',
      ),
    );
  }
  if (request.bandwidthBytesPerSec !== null && !request.tunnelled) {
    findings.push(
      warning(
        'BANDWIDTH_NOT_LIMITED',
        'xl cannot limit the bandwidth of a migration, and this one is direct (without a tunnel).',
        'Use the tunnel, whose gateways can.',
      ),
    );
  }
  return findings;
}
