/**
 * What xl prints, made into values. `xl list -v` tells the state of every domain (tools/xl/xl_info.c, list_domains: name, id,
 * memory, VCPUs, six letters, time, UUID, reason), `xl list -l` the configuration of each as JSON, `xl info` the host. Pure.
 */
import { PluginError } from '@lmas/plugin-api';
import { z } from 'zod';

/** What xl calls a guest that it receives, and one that it has given away. */
export const INCOMING = '--incoming';
export const GIVEN_AWAY = '--migratedaway';

export interface Domain {
  readonly domid: number;
  /** As it is called now, with what xl appends during a migration. */
  readonly name: string;
  readonly uuid: string;
  readonly memoryMib: number;
  readonly vcpus: number;
  /** Processor time that it has had, all its VCPUs together. */
  readonly cpuSec: number;
  readonly paused: boolean;
  /** It does not execute: SHUTDOWN_suspend, with its whole memory; it can be resumed. */
  readonly suspended: boolean;
  /** It has shut down, rebooted or crashed; xl is about to take it away. */
  readonly ended: boolean;
  /** Being taken away. */
  readonly dying: boolean;
}

const LINE =
  /^(?<name>.*?)\s+(?<domid>\d+)\s+(?<memory>\d+)\s+(?<vcpus>\d+)\s+(?<state>[r-][b-][p-][s-].[d-])\s+(?<cpu>[\d.]+)\s+(?<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s+(?<reason>-|[0-9a-f]+)(?:\s|$)/i;
/** xen/include/public/sched.h: SHUTDOWN_suspend. */
const SUSPEND = 2;

/** @throws PluginError HYPERVISOR_FAULT for a line that cannot be read: a domain that is overlooked could run twice */
export function readList(text: string): readonly Domain[] {
  const [head = '', ...lines] = text.split('\n');
  if (!/^Name\s+ID\s/.test(head)) throw unreadable('xl list -v', head);
  return lines.flatMap((line) => (line.trim() === '' ? [] : [readLine(line)]));
}

function readLine(line: string): Domain {
  const fields = LINE.exec(line)?.groups;
  if (fields === undefined) throw unreadable('xl list -v', line);
  const { name = '', domid, memory, vcpus, cpu, state = '', uuid = '', reason = '' } = fields;
  const [, , paused, shutdown, , dying] = state;
  const suspended = shutdown === 's' && Number.parseInt(reason, 16) === SUSPEND;
  return {
    ...{ name, uuid: uuid.toLowerCase(), suspended, paused: paused === 'p', dying: dying === 'd' },
    ...{ domid: Number(domid), memoryMib: Number(memory), vcpus: Number(vcpus), cpuSec: Number(cpu) },
    ended: shutdown === 's' && !suspended,
  };
}

const guestConfigSchema = z.object({
  domid: z.int(),
  config: z.object({
    c_info: z.object({ name: z.string().optional(), uuid: z.string().optional() }),
    b_info: z.object({ max_memkb: z.number().optional(), max_vcpus: z.number().optional() }).default({}),
    disks: z
      .array(
        z.object({
          pdev_path: z.string().optional(),
          vdev: z.string().default(''),
          script: z.string().optional(),
          readwrite: z.union([z.number(), z.boolean()]).default(0),
          is_cdrom: z.union([z.number(), z.boolean()]).default(0),
        }),
      )
      .default([]),
    nics: z.array(z.object({ bridge: z.string().optional() })).default([]),
    pcidevs: z.array(z.unknown()).default([]),
  }),
});
export type GuestConfig = z.infer<typeof guestConfigSchema>['config'];

/** The configuration of each domain, and the text of it without passwords. */
export function readConfigs(
  text: string,
): ReadonlyMap<number, { readonly config: GuestConfig; readonly text: string }> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new PluginError('HYPERVISOR_FAULT', 'xl list -l prints no JSON.', {
      remedy: 'Set output_format="json" in /etc/xen/xl.conf, which is its default.',
    });
  }
  const entries = z.array(z.unknown()).parse(value);
  return new Map(
    entries.flatMap((entry) => {
      const parsed = guestConfigSchema.safeParse(entry);
      return parsed.success
        ? [[parsed.data.domid, { config: parsed.data.config, text: JSON.stringify(entry, withoutPasswords) }] as const]
        : [];
    }),
  );
}

const withoutPasswords = (key: string, value: unknown): unknown => (/passw/i.test(key) ? undefined : value);

export interface HostInfo {
  readonly name: string;
  readonly version: string;
  readonly cpus: number;
  readonly memoryMib: number;
  readonly freeMib: number;
  /** What tells processors apart for a guest, as one string. */
  readonly cpuFeatures: string;
}

export function readInfo(text: string): HostInfo {
  const fields = new Map(
    text.split('\n').flatMap((line) => {
      const [, key, value] = /^(\w+)\s*:\s*(.*?)\s*$/.exec(line) ?? [];
      return key === undefined ? [] : [[key, value ?? ''] as const];
    }),
  );
  const field = (key: string): string => {
    const value = fields.get(key);
    if (value === undefined) throw unreadable('xl info', `no ${key}`);
    return value;
  };
  return {
    ...{ name: field('host'), version: field('xen_version'), cpus: Number(field('nr_cpus')) },
    ...{ memoryMib: Number(field('total_memory')), freeMib: Number(field('free_memory')) },
    cpuFeatures: fields.get('hw_caps') ?? '',
  };
}

/** Negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split(/[^0-9]+/).map(Number));
  // The third number is for corrections, which change nothing of a stream.
  for (const i of [0, 1]) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const unreadable = (what: string, text: string): PluginError =>
  new PluginError('HYPERVISOR_FAULT', `${what} prints what cannot be read: ${text.slice(0, 200)}`);
