/** The two hosts: whether vMotion is set up at them, and whether the one can take the other's guests. */
import { blocker, type Finding, warning } from '@lmas/plugin-api';
import { isLive } from '../inventory/places.ts';
import { type KernelNetwork, SERVICES } from '../routes/host-network.ts';
import { pairsOf } from '../routes/ways.ts';
import { sameRef } from '../wire/data-objects.ts';
import { compareVersions } from '../wire/versions.ts';
import type { CheckContext } from './types.ts';

const GIB = 1024 ** 3;

export function checkHosts(context: CheckContext): Finding[] {
  const { networks, sourceHost } = context.plan;
  const findings = [...checkResources(context), ...checkEvc(context)];
  if (sourceHost !== undefined && !isLive(sourceHost) && !sourceHost.record['runtime.inMaintenanceMode']) {
    findings.push(
      blocker(
        'HOST_NOT_CONNECTED',
        `The source host ${sourceHost.record.name} is not connected.`,
        'Reconnect it in its vCenter.',
      ),
    );
  }
  if (networks === undefined) return findings;
  findings.push(...checkVmotion(networks.source), ...checkVmotion(networks.destination));
  const noPair = pairsOf(networks, 'vmotion').length === 0;
  const bothHaveSome =
    networks.source.addresses.vmotion.length > 0 && networks.destination.addresses.vmotion.length > 0;
  if (noPair && bothHaveSome) {
    findings.push(
      blocker(
        'ADDRESS_FAMILIES',
        'One host has vMotion addresses of IPv4 only, the other of IPv6 only.',
        'Give both an address of one family.',
      ),
    );
  }
  return [...findings, ...checkMtu(context), ...checkLicence(context)];
}

function checkVmotion({ host, record, addresses }: KernelNetwork): Finding[] {
  const { name } = host.record;
  if (record['capability.vmotionSupported'] === false) {
    return [
      blocker('VMOTION_NOT_SUPPORTED', `${name} does not support vMotion.`, 'Choose another host, or see its licence.'),
    ];
  }
  if (addresses.vmotion.length === 0) {
    return [
      blocker(
        'VMOTION_NOT_ENABLED',
        `${name} has no VMkernel adapter with vMotion and an address.`,
        'Make one, best on the vMotion TCP/IP stack: esxcli network ip interface add, then esxcli network ip interface tag add -t VMotion (or its own stack, which needs no tag).',
      ),
    ];
  }
  const onDefault = addresses.vmotion.filter(({ stack }) => stack !== SERVICES.vmotion.stack);
  if (onDefault.length === 0) return [];
  const devices = onDefault.map(({ device }) => device).join(', ');
  return [
    warning(
      'VMOTION_ON_DEFAULT_STACK',
      `${name} has vMotion on ${devices} in the default TCP/IP stack, whose routes serve management, too.`,
      'Give vMotion its own stack, so that its routes touch nothing else.',
    ),
  ];
}

/** A packet larger than the way takes is dropped, and a vMotion stands still at it. */
function checkMtu({ plan }: CheckContext): Finding[] {
  if (plan.networks === undefined) return [];
  const odd = pairsOf(plan.networks, 'vmotion').filter(({ source, destination }) => source.mtu !== destination.mtu);
  return odd
    .slice(0, 1)
    .map(({ source, destination }) =>
      warning(
        'MTU_DIFFERS',
        `The vMotion adapters have an MTU of ${source.mtu} (${source.device}) and ${destination.mtu} (${destination.device}).`,
        'Through the gateways each leg may have its own, if the gateway machine beside it has the same; without them they must be equal.',
      ),
    );
}

function checkLicence({ plan }: CheckContext): Finding[] {
  const { networks, sameVCenter } = plan;
  const lacking = [networks?.source, networks?.destination].filter(
    (network) => network?.record['capability.vmotionAcrossNetworkSupported'] === false,
  );
  if (sameVCenter || lacking.length === 0) return [];
  return [
    warning(
      'LICENCE',
      `${lacking.map((network) => network?.host.record.name).join(' and ')} does not claim vMotion across networks.`,
      'Moves between vCenters need licences that include them (Enterprise Plus, or VMware Cloud Foundation) at both.',
    ),
  ];
}

function checkResources({ plan }: CheckContext): Finding[] {
  const { host, vm } = plan;
  if (host === undefined) return [];
  const needed = (vm.record['config.hardware.memoryMB'] ?? 0) * 1024 ** 2;
  const all = host.record['summary.hardware.memorySize'] ?? Number.POSITIVE_INFINITY;
  const findings: Finding[] = [];
  if (needed > all) {
    findings.push(
      blocker(
        'MEMORY_TOO_SMALL',
        `${host.record.name} has ${(all / GIB).toFixed(1)} GiB of memory, the VM ${(needed / GIB).toFixed(1)} GiB.`,
        'Name a host with more memory in the option destinationHost, or give the VM less of it while it is powered off.',
      ),
    );
  }
  const cpus = host.record['summary.hardware.numCpuThreads'] ?? Number.POSITIVE_INFINITY;
  const vcpus = vm.record['config.hardware.numCPU'] ?? 0;
  if (vcpus > cpus) {
    findings.push(
      blocker(
        'TOO_FEW_CPUS',
        `${host.record.name} has ${cpus} logical CPUs, the VM ${vcpus}.`,
        'Name a host with more CPUs in the option destinationHost, or give the VM fewer while it is powered off.',
      ),
    );
  }
  const { sourceHost } = plan;
  const [from, to] = [sourceHost, host].map((each) => each?.record['config.product.version']);
  if (from !== undefined && to !== undefined && compareVersions(to, from) < 0) {
    findings.push(
      warning(
        'OLDER_HOST',
        `${host.record.name} runs ESXi ${to}, older than the source's ${from}.`,
        `See that it knows the VM's hardware version (${vm.record['config.version'] ?? 'unknown'}).`,
      ),
    );
  }
  return findings;
}

/** Modes are names; in what order they contain each other only vSphere knows, and its own check says so. */
function checkEvc({ plan }: CheckContext): Finding[] {
  const { host, vm, destinationPlaces, request } = plan;
  if (request.disksAlone === true) return []; // it runs there already
  const needed = vm.record['runtime.minRequiredEVCModeKey'];
  const compute = destinationPlaces.computes.find(({ ref }) => sameRef(ref, host?.record.parent));
  const there = compute?.evcMode;
  if (needed === undefined || needed === '' || there === undefined || there === needed) return [];
  return [
    warning(
      'EVC_DIFFERS',
      `The VM needs at least the CPU features of ${needed}; the cluster ${compute?.record.name} is set to ${there}.`,
      'vSphere’s own check says whether that is enough; if not, set per-VM EVC or another mode.',
    ),
  ];
}
