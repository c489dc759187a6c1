/** Whether the destination can build and run this guest: identity, versions, CPU, machine type, memory, networks. */
import type { Finding } from '@lmas/plugin-api';
import { VERSION_3_3 } from '../client.ts';
import { descend, parseXml, textOf } from '../definition/xml.ts';
import { isFault } from '../errors.ts';
import { freeMemoryBytes } from '../free-memory.ts';
import { CPU_COMPARE } from '../rpc/constants.ts';
import { versionText } from '../session.ts';
import { attempt, blocker, type CheckContext, type HostContext, warning } from './types.ts';

export async function checkHosts(context: CheckContext): Promise<Finding[]> {
  const parts = [checkIdentity, checkVersions, checkCpu, checkMachine, checkMemory, checkNetworks];
  const findings: Finding[] = [];
  for (const part of parts) findings.push(...(await attempt(context, () => part(context))));
  return findings;
}

async function hostUuid(context: CheckContext, end: 'source' | 'destination'): Promise<string | undefined> {
  const client = await context.ends[end].query(context);
  const { xml } = await client.call('connectGetCapabilities', undefined, context);
  return textOf(descend(parseXml(xml, 'capabilities').root, 'host', 'uuid'));
}

export async function checkIdentity(context: CheckContext): Promise<Finding[]> {
  const [source, destination] = await Promise.all([hostUuid(context, 'source'), hostUuid(context, 'destination')]);
  if (source === undefined || source !== destination) return [];
  return [
    blocker(
      'SAME_HOST_UUID',
      `Both hosts call themselves ${source}: libvirt takes them for one and the same.`,
      'If they are two, give one of them a host_uuid of its own in libvirtd.conf (or virtqemud.conf) and restart it.',
    ),
  ];
}

async function versions(context: CheckContext, end: 'source' | 'destination') {
  const client = await context.ends[end].query(context);
  const libvirt = await client.call('connectGetLibVersion', undefined, context);
  const qemu = await client.call('connectGetVersion', undefined, context);
  return { libvirt: Number(libvirt.version), qemu: Number(qemu.version) };
}

async function checkVersions(context: CheckContext): Promise<Finding[]> {
  const source = await versions(context, 'source');
  const destination = await versions(context, 'destination');
  const findings: Finding[] = [];
  if (source.libvirt < VERSION_3_3) {
    findings.push(
      blocker(
        'LIBVIRT_TOO_OLD_AT_SOURCE',
        `libvirt ${versionText(source.libvirt)} at the source does not say whether a job is a migration, so none could be stopped.`,
        'Update it to 3.3 or later.',
      ),
    );
  }
  for (const [program, name] of [
    ['qemu', 'QEMU'],
    ['libvirt', 'libvirt'],
  ] as const) {
    if (destination[program] >= source[program]) continue;
    findings.push(
      warning(
        `OLDER_${program.toUpperCase()}_AT_DESTINATION`,
        `${name} is older at the destination (${versionText(destination[program])} after ${versionText(source[program])}).`,
        'It often works; an older machine type helps. If not, the migration fails and the VM stays where it is.',
      ),
    );
  }
  return findings;
}

export async function checkCpu(context: HostContext): Promise<Finding[]> {
  const { definition } = context.plan;
  // Without a <cpu>, or under emulation, the guest sees nothing of the host's CPU.
  if (definition.cpuXml === undefined || definition.virtType !== 'kvm') return [];
  const client = await context.ends.destination.query(context);
  try {
    const { result } = await client.call(
      'connectCompareHypervisorCpu',
      {
        emulator: null,
        arch: definition.arch ?? null,
        machine: definition.machine ?? null,
        virtType: definition.virtType,
        xml: definition.cpuXml,
        flags: 0,
      },
      context,
    );
    if (result === CPU_COMPARE.identical || result === CPU_COMPARE.superset) return [];
  } catch (error) {
    if (!isFault(error)) throw error;
    const message = `libvirt cannot compare the guest's CPU with the destination's: ${error.message}`;
    return [warning('CPU_NOT_COMPARED', message, 'Compare by hand: virsh hypervisor-cpu-compare.')];
  }
  return [
    blocker(
      'CPU_INCOMPATIBLE',
      `The destination's CPU lacks what the guest was given (${definition.cpuMode}).`,
      'Give the VM a named CPU model that both hosts have (virsh hypervisor-cpu-baseline), and restart it.',
    ),
  ];
}

export async function checkMachine(context: HostContext): Promise<Finding[]> {
  const { arch, machine, virtType } = context.plan.definition;
  const client = await context.ends.destination.query(context);
  try {
    const args = { emulator: null, arch: arch ?? null, machine: machine ?? null, virtType, flags: 0 };
    await client.call('connectGetDomainCapabilities', args, context);
    return [];
  } catch (error) {
    if (!isFault(error)) throw error;
    return [
      blocker(
        'MACHINE_UNSUPPORTED',
        `The destination cannot run a ${virtType} guest of machine type ${machine ?? 'default'}: ${error.message}`,
        'Install the same or a newer QEMU there, or give the VM a machine type that both know.',
      ),
    ];
  }
}

export async function checkMemory(context: HostContext): Promise<Finding[]> {
  const freeBytes = await freeMemoryBytes(context.ends.destination, context);
  const { memoryBytes } = context.plan.definition;
  if (freeBytes >= memoryBytes) return [];
  const mib = (count: number): number => Math.round(count / 1024 ** 2);
  return [
    warning(
      'MEMORY_SHORT',
      `The guest has ${mib(memoryBytes)} MiB of memory, the destination ${mib(freeBytes)} MiB available.`,
      'Free memory at the destination, or it may kill processes when the guest arrives.',
    ),
  ];
}

export async function checkNetworks(context: CheckContext): Promise<Finding[]> {
  const { plan, request, ends } = context;
  const networks = new Set(await ends.destination.networks(context));
  const wanted = new Set<string>();
  const bridges = new Set<string>();
  for (const { type, source } of plan.definition.interfaces) {
    if (source === undefined) continue;
    const name = request.networkMap[source] ?? source;
    if (type === 'network') wanted.add(name);
    if (type === 'bridge' || type === 'direct') bridges.add(name);
  }
  const findings = checkNetworkNames(context);
  const missing = [...wanted]
    .filter((name) => !networks.has(name))
    .map((name) =>
      blocker(
        'NETWORK_MISSING',
        `The destination has no network ${name}.`,
        'Define it there, or map it to another one.',
      ),
    );
  findings.push(...missing);
  const devices = bridges.size === 0 ? new Set<string>() : await networkDevices(context);
  for (const name of bridges) {
    if (devices.has(name)) continue;
    const message = `The destination has no bridge or device ${name}.`;
    findings.push(blocker('BRIDGE_MISSING', message, 'Make it there, or map it to another one.'));
  }
  return findings;
}

/** A slip of the pen would leave an interface to the network that has the same name at the destination. */
function checkNetworkNames({ plan, request }: CheckContext): Finding[] {
  const known = new Set(plan.definition.interfaces.flatMap(({ source }) => source ?? []));
  const has = [...known].join(', ') || 'none';
  return Object.keys(request.networkMap)
    .filter((name) => !known.has(name))
    .map((name) =>
      blocker(
        'NETWORK_UNKNOWN',
        `The network map names ${name}, which the VM does not have.`,
        `Correct the network map: its networks are ${has}.`,
      ),
    );
}

async function networkDevices({ ends, signal }: CheckContext): Promise<Set<string>> {
  const { stdout } = await ends.destination.transport.exec(['cat', '/proc/net/dev'], { signal });
  return new Set([...stdout.toString('utf8').matchAll(/^\s*([^\s:]+):/gm)].map(([, name = '']) => name));
}
