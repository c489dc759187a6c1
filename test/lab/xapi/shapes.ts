/**
 * The shapes of what XAPI takes and tells, by the published data model (xapi-project/xen-api, ocaml/idl): types of values, and the fields of
 * each class. A record of the lab may lack fields, for clients look at few; none may have a name or a type that no pool knows.
 */

type Scalar = 'ref' | 'string' | 'bool' | 'int' | 'float' | 'datetime' | 'void' | 'string-map' | 'ref-map';
/** One of these words. */
interface Enum {
  readonly oneOf: readonly string[];
}
/** Of event.from: a record of whichever class the event names. */
interface EventOf {
  readonly eventOf: Readonly<Record<string, Shape>>;
}
interface Fields {
  readonly [field: string]: Shape;
}
export type Shape = Scalar | Enum | EventOf | { readonly setOf: Shape } | { readonly mapOf: Shape } | Fields;

const refs: Shape = { setOf: 'ref' };
const named = { uuid: 'string', name_label: 'string', name_description: 'string' } as const;
const OPERATIONS: Enum = {
  oneOf: [
    'snapshot',
    'clone',
    'copy',
    'start',
    'pause',
    'clean_shutdown',
    'hard_shutdown',
    'migrate_send',
    'pool_migrate',
  ],
};

export const CLASS_SHAPES: Readonly<Record<string, Shape>> = {
  pool: { ...named, master: 'ref', default_SR: 'ref', migration_compression: 'bool', other_config: 'string-map' },
  host: {
    ...{ API_version_major: 'int', API_version_minor: 'int' },
    ...{ ...named, hostname: 'string', address: 'string', enabled: 'bool', metrics: 'ref', https_only: 'bool' },
    ...{ software_version: 'string-map', cpu_info: 'string-map', license_params: 'string-map' },
    ...{ PIFs: refs, PBDs: refs, resident_VMs: refs, other_config: 'string-map' },
  },
  host_metrics: {
    ...{ uuid: 'string', live: 'bool', memory_total: 'int', memory_free: 'int', other_config: 'string-map' },
  },
  network: { ...named, bridge: 'string', MTU: 'int', PIFs: refs, VIFs: refs, other_config: 'string-map' },
  PIF: {
    ...{ uuid: 'string', device: 'string', network: 'ref', host: 'ref', IP: 'string', netmask: 'string' },
    ...{ ip_configuration_mode: { oneOf: ['None', 'DHCP', 'Static'] }, IPv6: { setOf: 'string' } },
    primary_address_type: { oneOf: ['IPv4', 'IPv6'] },
    ...{ management: 'bool', currently_attached: 'bool', MTU: 'int', other_config: 'string-map' },
  },
  SR: {
    ...{ ...named, type: 'string', content_type: 'string', shared: 'bool', PBDs: refs, VDIs: refs },
    ...{ physical_size: 'int', physical_utilisation: 'int', virtual_allocation: 'int' },
    ...{ other_config: 'string-map', sm_config: 'string-map' },
  },
  PBD: {
    ...{ uuid: 'string', host: 'ref', SR: 'ref', currently_attached: 'bool' },
    ...{ device_config: 'string-map', other_config: 'string-map' },
  },
  VM: {
    ...{ ...named, power_state: { oneOf: ['Halted', 'Paused', 'Running', 'Suspended'] } },
    ...{ is_a_template: 'bool', is_control_domain: 'bool', is_a_snapshot: 'bool', resident_on: 'ref', affinity: 'ref' },
    ...{ memory_static_max: 'int', memory_dynamic_min: 'int', memory_dynamic_max: 'int', domid: 'int' },
    ...{ VCPUs_max: 'int', VCPUs_at_startup: 'int', guest_metrics: 'ref', snapshots: refs, tags: { setOf: 'string' } },
    ...{ VBDs: refs, VIFs: refs, VGPUs: refs, VUSBs: refs, attached_PCIs: refs, ha_restart_priority: 'string' },
    ha_always_run: 'bool',
    ...{ other_config: 'string-map', platform: 'string-map' },
    ...{ current_operations: { mapOf: OPERATIONS }, allowed_operations: { setOf: OPERATIONS } },
  },
  VM_guest_metrics: {
    ...{ uuid: 'string', PV_drivers_detected: 'bool', live: 'bool', other: 'string-map', other_config: 'string-map' },
  },
  VBD: {
    ...{ uuid: 'string', VM: 'ref', VDI: 'ref', userdevice: 'string', device: 'string', bootable: 'bool' },
    ...{ type: { oneOf: ['CD', 'Disk', 'Floppy'] }, mode: { oneOf: ['RO', 'RW'] } },
    ...{ empty: 'bool', currently_attached: 'bool', other_config: 'string-map' },
  },
  VDI: {
    ...{ ...named, SR: 'ref', VBDs: refs, virtual_size: 'int', physical_utilisation: 'int', location: 'string' },
    ...{ type: { oneOf: ['system', 'user', 'ephemeral', 'suspend'] }, on_boot: { oneOf: ['persist', 'reset'] } },
    ...{
      cbt_enabled: 'bool',
      read_only: 'bool',
      sharable: 'bool',
      sm_config: 'string-map',
      other_config: 'string-map',
    },
  },
  VIF: {
    ...{ uuid: 'string', VM: 'ref', network: 'ref', device: 'string', MAC: 'string', MTU: 'int' },
    ...{ currently_attached: 'bool', other_config: 'string-map' },
  },
  VGPU: {
    ...{ uuid: 'string', VM: 'ref', GPU_group: 'ref', device: 'string', type: 'ref' },
    ...{ currently_attached: 'bool', other_config: 'string-map' },
  },
  GPU_group: { ...named, PGPUs: refs, VGPUs: refs, GPU_types: { setOf: 'string' }, other_config: 'string-map' },
  task: {
    ...{ ...named, created: 'datetime', finished: 'datetime', progress: 'float', type: 'string', result: 'string' },
    ...{ status: { oneOf: ['pending', 'success', 'failure', 'cancelling', 'cancelled'] } },
    ...{ error_info: { setOf: 'string' }, subtask_of: 'ref', subtasks: refs, resident_on: 'ref' },
    ...{ allowed_operations: { setOf: { oneOf: ['cancel', 'destroy'] } }, current_operations: 'string-map' },
    other_config: 'string-map',
  },
};

const isText = (value: unknown): value is string => typeof value === 'string';
const isRef = (value: unknown): boolean => isText(value) && value.startsWith('OpaqueRef:');
const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isMap = (value: unknown, entry: (item: unknown) => boolean): boolean =>
  isObject(value) && Object.values(value).every(entry);

const IS: Readonly<Record<Scalar, (value: unknown) => boolean>> = {
  ref: isRef,
  string: isText,
  bool: (value) => typeof value === 'boolean',
  int: (value) => Number.isSafeInteger(value),
  // What JSON has no word for is told in text.
  float: (value) => typeof value === 'number' || value === 'NaN' || value === 'Infinity' || value === '-Infinity',
  datetime: (value) => isText(value) && /^\d{4}-?\d{2}-?\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$/.test(value),
  void: (value) => value === '',
  'string-map': (value) => isMap(value, isText),
  'ref-map': (value) => isMap(value, isRef),
};

/** @param what is looked at, for the message. @throws Error that names the first thing which does not fit */
export function assertShape(shape: Shape, value: unknown, what: string): void {
  const wrong = (expected: string): Error => new Error(`${what}: ${expected}, and not ${JSON.stringify(value)}`);
  if (typeof shape === 'string') {
    if (!IS[shape](value)) throw wrong(shape);
  } else if (isSet(shape)) {
    if (!Array.isArray(value)) throw wrong('a set');
    value.forEach((item, i) => {
      assertShape(shape.setOf, item, `${what}, item ${i}`);
    });
  } else if (isOneOf(shape)) {
    if (!isText(value) || !shape.oneOf.includes(value)) throw wrong(`one of ${shape.oneOf.join(', ')}`);
  } else if (!isObject(value)) throw wrong('a record');
  else if (isEvent(shape)) assertEvent(shape, value, what);
  else if (isMapOf(shape)) {
    for (const [key, item] of Object.entries(value)) assertShape(shape.mapOf, item, `${what}, ${key}`);
  } else {
    const fields: Fields = shape;
    for (const [field, item] of Object.entries(value)) {
      const expected = fields[field];
      if (expected === undefined) throw new Error(`${what} has a field ${field}, which is not published`);
      assertShape(expected, item, `${what}.${field}`);
    }
  }
}

const isSet = (shape: object): shape is { setOf: Shape } => 'setOf' in shape;
const isMapOf = (shape: object): shape is { mapOf: Shape } => 'mapOf' in shape;
const isOneOf = (shape: object): shape is Enum => 'oneOf' in shape;
const isEvent = (shape: object): shape is EventOf => 'eventOf' in shape;

const EVENT: Shape = {
  ...{ id: 'string', timestamp: 'string', class: 'string', ref: 'ref' },
  operation: { oneOf: ['add', 'del', 'mod'] },
};

/** What is gone has no snapshot; everything else has one, of its class, whose name is in lower case here. */
function assertEvent({ eventOf }: EventOf, value: Readonly<Record<string, unknown>>, what: string): void {
  const { snapshot, ...head } = value;
  assertShape(EVENT, head, what);
  const record = Object.entries(eventOf).find(([kind]) => kind.toLowerCase() === head.class)?.[1];
  if (record === undefined) throw new Error(`${what} is of class ${String(head.class)}, which is not published`);
  if (head.operation === 'del') {
    if (snapshot !== undefined) throw new Error(`${what} has a snapshot of what is gone`);
  } else assertShape(record, snapshot, `${what}, ${String(head.class)}`);
}
