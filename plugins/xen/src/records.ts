/**
 * The fields that are used of XAPI's records, by the published data model (xapi-project/xen-api, ocaml/idl). Records carry
 * many more; what is not named here is never looked at. Integers come as numbers in JSON-RPC and as decimal strings from old
 * releases: both are read.
 */
import { z } from 'zod';

export const NULL_REF = 'OpaqueRef:NULL';

export const refSchema = z.string().startsWith('OpaqueRef:');
export const nothingSchema = z.unknown().transform(() => undefined);
const refs = z.array(refSchema);
const integer = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number),
]);
export const bytesSchema = integer;
const textMap = z.record(z.string(), z.string());

/** ISO 8601, with or without separators (`20261129T16:22:00Z`), in milliseconds since 1970. */
export const timeSchema = z.string().transform((text, context) => {
  const time = Date.parse(text.replace(/^(\d{4})(\d{2})(\d{2})T/, '$1-$2-$3T'));
  if (!Number.isNaN(time)) return time;
  context.issues.push({ code: 'custom', message: 'not a time', input: text });
  return z.NEVER;
});

export const vmSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  power_state: z.enum(['Halted', 'Paused', 'Running', 'Suspended']),
  is_a_template: z.boolean(),
  is_control_domain: z.boolean(),
  is_a_snapshot: z.boolean(),
  resident_on: refSchema,
  memory_static_max: integer,
  memory_dynamic_min: integer,
  memory_dynamic_max: integer,
  VCPUs_max: integer,
  VBDs: refs,
  VIFs: refs,
  VGPUs: refs.default([]),
  VUSBs: refs.default([]),
  attached_PCIs: refs.default([]),
  snapshots: refs,
  other_config: textMap,
  tags: z.array(z.string()).default([]),
  current_operations: textMap,
  guest_metrics: refSchema,
  ha_restart_priority: z.string().default(''),
});
export type VmRecord = z.infer<typeof vmSchema>;

export const hostSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  hostname: z.string(),
  address: z.string(),
  enabled: z.boolean(),
  metrics: refSchema,
  software_version: textMap,
  cpu_info: textMap.default({}),
  license_params: textMap.default({}),
  /** Port 80 is closed there. Releases that cannot close it do not have it. */
  https_only: z.boolean().optional(),
  API_version_major: integer.default(0),
  API_version_minor: integer.default(0),
  PIFs: refs,
  PBDs: refs,
});
export type HostRecord = z.infer<typeof hostSchema>;

export const hostMetricsSchema = z.object({ live: z.boolean(), memory_total: integer, memory_free: integer });
export const poolSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  master: refSchema,
  default_SR: refSchema,
  /** Releases that cannot compress do not have it. */
  migration_compression: z.boolean().optional(),
});

export const networkSchema = z.object({ uuid: z.string(), name_label: z.string(), PIFs: refs });
export const pifSchema = z.object({
  IP: z.string(),
  IPv6: z.array(z.string()).default([]),
  primary_address_type: z.string().default('IPv4'),
  management: z.boolean(),
  currently_attached: z.boolean(),
  network: refSchema,
  host: refSchema,
});
export type PifRecord = z.infer<typeof pifSchema>;
export const srSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  shared: z.boolean(),
  content_type: z.string(),
  physical_size: integer,
  physical_utilisation: integer,
  PBDs: refs,
});
export type SrRecord = z.infer<typeof srSchema>;
export const pbdSchema = z.object({ host: refSchema, SR: refSchema, currently_attached: z.boolean() });

export const vbdSchema = z.object({
  VM: refSchema,
  VDI: refSchema,
  userdevice: z.string(),
  device: z.string(),
  type: z.string(),
  mode: z.string(),
  empty: z.boolean(),
});
export const vdiSchema = z.object({
  uuid: z.string(),
  name_label: z.string(),
  SR: refSchema,
  virtual_size: integer,
  physical_utilisation: integer,
  on_boot: z.string().default('persist'),
  cbt_enabled: z.boolean().default(false),
  sm_config: textMap.default({}),
});
export type VdiRecord = z.infer<typeof vdiSchema>;
export const gpuGroupSchema = z.object({ uuid: z.string(), name_label: z.string() });
export type GpuGroupRecord = z.infer<typeof gpuGroupSchema>;
export const vifSchema = z.object({ VM: refSchema, network: refSchema, device: z.string() });

export const guestMetricsSchema = z.object({
  PV_drivers_detected: z.boolean().default(false),
  other: textMap.default({}),
});

export const taskSchema = z.object({
  status: z.enum(['pending', 'success', 'failure', 'cancelling', 'cancelled']),
  progress: z.union([z.number(), z.coerce.number<string>()]),
  error_info: z.array(z.string()),
  created: timeSchema.nullable().catch(null),
  other_config: textMap.default({}),
});
export type TaskRecord = z.infer<typeof taskSchema>;

export const eventBatchSchema = z.object({ token: z.string(), events: z.array(z.unknown()) });

/** `class` in lower case; a snapshot is what `get_record` answers, and what is gone has none. */
export const changesSchema = z.object({
  token: z.string(),
  events: z.array(
    z.object({
      class: z.string(),
      ref: refSchema,
      operation: z.enum(['add', 'mod', 'del']),
      snapshot: z.unknown().optional(),
    }),
  ),
  /** How many there are of each class. */
  valid_ref_counts: z.record(z.string(), integer).default({}),
});

/** `host.migrate_receive`: a secret, for it holds a session of the destination's pool. */
export const receiveMapSchema = z.record(z.string(), z.string());
export type ReceiveMap = z.infer<typeof receiveMapSchema>;

export const recordsOf = <T>(shape: z.ZodType<T>): z.ZodType<ReadonlyMap<string, T>> =>
  z.record(z.string(), shape).transform((records) => new Map(Object.entries(records)));
