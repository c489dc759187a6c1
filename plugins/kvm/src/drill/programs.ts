/**
 * The programs that copy disks between the hosts, for a drill or of a VM that is off, and what those of an older QEMU lack. They are packaged apart from the QEMU that runs
 * the VMs, so they are asked themselves.
 *
 *   4.1   qemu-nbd --pid-file
 *   4.2   backups (libvirt's formatbackup.html), whose copies these programs carry
 *   5.0   qemu-img convert --target-is-zero: without it qemu-img asks what it writes to where that is zero, which takes longer
 *   5.2   qemu-img convert -r
 */
import { type Finding, PluginError } from '@lmas/plugin-api';
import { attempt, blocker, type CheckContext } from '../checks/types.ts';
import type { HostTransport } from '../transport.ts';

/** What copies disks. */
type CopyContext = Pick<CheckContext, 'ends' | 'signal'> & {
  readonly request: Pick<CheckContext['request'], 'bandwidthBytesPerSec'>;
};

interface Options {
  readonly signal: AbortSignal;
}

/** Of QEMU: `major * 1000 + minor`. */
type Version = number;
const LEAST: Version = 4_002;
const KNOWS_ZERO_TARGETS: Version = 5_000;
const KNOWS_RATES: Version = 5_002;

const text = (version: Version): string => `${Math.floor(version / 1_000)}.${version % 1_000}`;

/** The first line is `qemu-img version 4.2.0 (…)`, or `qemu-nbd 4.2.0 (…)`; `null` when it says anything else. */
async function versionOf(
  host: HostTransport,
  program: 'qemu-img' | 'qemu-nbd',
  options: Options,
): Promise<Version | null> {
  const { stdout } = await host.exec([program, '--version'], options);
  const [, major, minor] = /^qemu-\w+ (?:version )?(\d+)\.(\d+)/.exec(stdout.toString('utf8')) ?? [];
  return major === undefined || minor === undefined ? null : Number(major) * 1_000 + Number(minor);
}

/** Whether its qemu-img can be told that what it writes to is zero. */
export async function knowsZeroTargets(host: HostTransport, options: Options): Promise<boolean> {
  return ((await versionOf(host, 'qemu-img', options)) ?? 0) >= KNOWS_ZERO_TARGETS;
}

const NEEDED = [
  { end: 'source', programs: ['qemu-img', 'gzip'] },
  { end: 'destination', programs: ['qemu-img', 'qemu-nbd', 'gzip'] },
] as const;
const HAVE = 'for p; do command -v -- "$p" > /dev/null || echo "$p"; done';

export async function checkPrograms(context: CopyContext): Promise<Finding[]> {
  const { ends, signal } = context;
  const findings: Finding[] = [];
  for (const { end, programs } of NEEDED) {
    const { stdout } = await ends[end].transport.exec(['sh', '-c', HAVE, 'sh', ...programs], { signal });
    const missing = stdout.toString('utf8').trim().split('\n').filter(Boolean);
    if (missing.length === 0) {
      findings.push(...(await attempt(context, () => checkVersions(end, context))));
      continue;
    }
    const message = `The ${end} has no ${missing.join(' and no ')}.`;
    findings.push(blocker('PROGRAM_MISSING', message, 'Install it there (qemu-utils or qemu-img, gzip).'));
  }
  return findings;
}

async function checkVersions(
  end: 'source' | 'destination',
  { ends, request, signal }: CopyContext,
): Promise<Finding[]> {
  const program = end === 'source' ? 'qemu-img' : 'qemu-nbd';
  const version = await versionOf(ends[end].transport, program, { signal });
  if (version === null) throw new PluginError('HYPERVISOR_FAULT', `${program} at the ${end} does not say its version.`);
  const tooOld = (needs: string, least: Version, otherwise = ''): Finding =>
    blocker(
      'PROGRAM_TOO_OLD',
      `${program} at the ${end} is of QEMU ${text(version)}; ${needs} ${text(least)}.`,
      `Update it there (qemu-utils or qemu-img)${otherwise}.`,
    );
  if (version < LEAST) return [tooOld('copying disks needs', LEAST)];
  if (end === 'destination' || request.bandwidthBytesPerSec === null || version >= KNOWS_RATES) return [];
  return [tooOld('it keeps no bandwidth limit before', KNOWS_RATES, ', go through gateways, or set no limit')];
}
