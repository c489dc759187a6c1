/**
 * The shapes of what vSphere answers, as far as anything here uses it. Names and types are those of the published vSphere Web
 * Services API. SOAP without `xsi:type` is text, so numbers and truth values are read from either, and a list of one may come
 * alone. The keys of the shapes of managed objects are the property paths that are asked for.
 */
import { z } from 'zod';
import type { RawObject, Ref } from './wire/data-objects.ts';

export const nothingSchema = z.unknown();
export const text = z.string();
export const int = z.union([
  z.number(),
  z
    .string()
    .regex(/^-?\d+$/)
    .transform(Number),
]);
export const truth = z.union([
  z.boolean(),
  z.enum(['true', 'false', '1', '0']).transform((word) => word === 'true' || word === '1'),
]);
/** Missing: empty; alone: one. */
export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) => (value === undefined || value === null || value === '' ? [] : Array.isArray(value) ? value : [value]),
    z.array(item),
  );

/** Where nothing of an object is set, SOAP has an element without content. */
export const object = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.preprocess((value) => (value === '' ? {} : value), z.looseObject(shape));

export const refSchema = z
  .object({ type: z.string(), value: z.string() })
  .transform(({ type, value }): Ref => ({ type, value }));
export const optionalRefSchema = z.preprocess((value) => value ?? null, refSchema.nullable());

export const serviceContentSchema = z.object({
  rootFolder: refSchema,
  propertyCollector: refSchema,
  viewManager: refSchema,
  sessionManager: refSchema,
  searchIndex: refSchema,
  taskManager: refSchema,
  authorizationManager: refSchema,
  perfManager: refSchema.optional(),
  /** Absent where it cannot check (a simulator). */
  vmProvisioningChecker: refSchema.optional(),
  about: z.object({
    fullName: text,
    apiType: text,
    apiVersion: text,
    instanceUuid: text.optional(),
  }),
});
export type ServiceContent = z.infer<typeof serviceContentSchema>;

export const userSessionSchema = z.object({ key: text, userName: text });

export const faultSchema = z.object({
  fault: object({ _typeName: text }),
  localizedMessage: text.optional(),
});
export type LocalizedFault = z.infer<typeof faultSchema>;

export const taskInfoSchema = z.object({
  task: refSchema,
  entity: refSchema.optional(),
  descriptionId: text,
  state: z.enum(['queued', 'running', 'success', 'error']),
  progress: int.optional(),
  error: faultSchema.optional(),
  reason: object({ _typeName: text.optional(), userName: text.optional() }).optional(),
  result: z.unknown().optional(),
});
export type TaskInfo = z.infer<typeof taskInfoSchema>;

const backingSchema = object({
  _typeName: text.optional(),
  fileName: text.optional(),
  deviceName: text.optional(),
  datastore: refSchema.optional(),
  network: refSchema.optional(),
  port: object({ portgroupKey: text.optional(), switchUuid: text.optional() }).optional(),
  opaqueNetworkId: text.optional(),
  diskMode: text.optional(),
  sharing: text.optional(),
});
export const deviceSchema = object({
  _typeName: text.default('VirtualDevice'),
  key: int,
  controllerKey: int.optional(),
  deviceInfo: object({ label: text }).optional(),
  backing: backingSchema.optional(),
  connectable: object({ connected: truth }).optional(),
  capacityInBytes: int.optional(),
  capacityInKB: int.optional(),
  sharedBus: text.optional(),
});
/** As it was read as well: what is changed of it is sent back whole. */
export const deviceListSchema = list(
  z.unknown().transform((raw, context) => {
    const parsed = deviceSchema.safeParse(raw);
    if (parsed.success) return { ...parsed.data, raw: raw as RawObject };
    context.addIssue({ code: 'custom', message: parsed.error.message });
    return z.NEVER;
  }),
);
export type Device = z.infer<typeof deviceListSchema>[number];

export const vmSchema = z.object({
  name: text,
  'config.uuid': text.optional(),
  'config.instanceUuid': text.optional(),
  'config.template': truth.optional(),
  'config.files.vmPathName': text.optional(),
  'config.hardware.memoryMB': int.optional(),
  'config.hardware.numCPU': int.optional(),
  'config.hardware.device': deviceListSchema,
  'config.migrateEncryption': text.optional(),
  'config.keyId': z.unknown().optional(),
  'config.managedBy': object({ extensionKey: text }).optional(),
  'config.version': text.optional(),
  'runtime.host': refSchema.optional(),
  'runtime.powerState': text,
  'runtime.connectionState': text,
  'runtime.faultToleranceState': text.optional(),
  'runtime.minRequiredEVCModeKey': text.optional(),
  'summary.storage.committed': int.optional(),
  resourcePool: refSchema.optional(),
  parent: refSchema.optional(),
  datastore: list(refSchema),
  network: list(refSchema),
  snapshot: z.unknown().optional(),
  recentTask: list(refSchema),
  disabledMethod: list(text),
});
export type VmRecord = z.infer<typeof vmSchema>;

/** What says where a VM is, and nothing more: asked often. */
export const sightingSchema = vmSchema.pick({
  name: true,
  'config.uuid': true,
  'config.instanceUuid': true,
  'config.hardware.memoryMB': true,
  'runtime.host': true,
  'runtime.powerState': true,
  'runtime.connectionState': true,
  recentTask: true,
});
export type SightingRecord = z.infer<typeof sightingSchema>;

const ipConfigSchema = object({
  ipAddress: text.optional(),
  subnetMask: text.optional(),
  ipV6Config: object({ ipV6Address: list(object({ ipAddress: text, prefixLength: int })) }).optional(),
});
const routeSchema = object({ network: text, prefixLength: int, gateway: text });
const routeConfigSchema = object({ defaultGateway: text.optional(), ipV6DefaultGateway: text.optional() });
export const vnicSchema = object({
  device: text,
  key: text.optional(),
  spec: object({
    ip: ipConfigSchema.optional(),
    mtu: int.optional(),
    netStackInstanceKey: text.optional(),
    ipRouteSpec: object({ ipRouteConfig: routeConfigSchema.optional() }).optional(),
  }),
});
export type Vnic = z.infer<typeof vnicSchema>;
export const netStackSchema = object({
  key: text.optional(),
  ipRouteConfig: routeConfigSchema.optional(),
  routeTableConfig: z
    .looseObject({
      ipRoute: list(object({ route: routeSchema })),
      ipv6Route: list(object({ route: routeSchema })),
    })
    .optional(),
});
export type NetStack = z.infer<typeof netStackSchema>;

export const hostSchema = z.object({
  name: text,
  parent: refSchema.optional(),
  'runtime.connectionState': text,
  'runtime.inMaintenanceMode': truth,
  'summary.hardware.memorySize': int.optional(),
  'summary.hardware.numCpuThreads': int.optional(),
  // Of the moment at which it was read: vSphere tells no changes of quickStats.
  'summary.quickStats.overallMemoryUsage': int.optional(),
  'config.product.version': text.optional(),
  datastore: list(refSchema),
  network: list(refSchema),
});
export type HostRecord = z.infer<typeof hostSchema>;

/** What of a host is told when it changes; of quickStats vSphere tells no changes. */
export const followedHostSchema = hostSchema.omit({ 'summary.quickStats.overallMemoryUsage': true });
/** What changes all the time: read anew for each question. */
export const hostMemorySchema = hostSchema.pick({ 'summary.quickStats.overallMemoryUsage': true });
export const hostLoadSchema = hostSchema.extend({
  'summary.hardware.cpuMhz': int.optional(),
  'summary.hardware.numCpuCores': int.optional(),
  'summary.quickStats.overallCpuUsage': int.optional(),
});
export type HostLoad = z.infer<typeof hostLoadSchema>;
export const vmLoadSchema = vmSchema
  .pick({
    ...{ 'config.instanceUuid': true, 'config.template': true, 'config.hardware.memoryMB': true },
    ...{ 'runtime.host': true, 'runtime.powerState': true, 'runtime.connectionState': true },
  })
  .extend({
    'summary.quickStats.overallCpuUsage': int.optional(),
    'summary.quickStats.balloonedMemory': int.optional(),
  });
export type VmLoadRecord = z.infer<typeof vmLoadSchema>;

export const perfCountersSchema = z.object({
  perfCounter: list(
    object({ key: int, groupInfo: object({ key: text }), nameInfo: object({ key: text }), rollupType: text }),
  ),
});
/** Of each VM the series that were asked for; a sample that there is not is -1. */
export const perfSamplesSchema = list(
  object({ entity: refSchema, value: list(object({ id: object({ counterId: int }), value: list(int) })) }),
);

/** Of the two hosts of a migration only. */
export const hostNetworkSchema = z.object({
  name: text,
  'config.network.vnic': list(vnicSchema),
  'config.network.netStackInstance': list(netStackSchema),
  'config.virtualNicManagerInfo.netConfig': list(
    object({ nicType: text, candidateVnic: list(vnicSchema), selectedVnic: list(text) }),
  ),
  'configManager.networkSystem': refSchema.optional(),
  'capability.vmotionSupported': truth.optional(),
  'capability.vmotionAcrossNetworkSupported': truth.optional(),
});
export type HostNetwork = z.infer<typeof hostNetworkSchema>;

export const listOfRefsSchema = list(refSchema);

export const taskManagerSchema = z.object({ recentTask: list(refSchema) });

/** HostSystem.parent: a cluster, or the compute resource of a single host. */
export const computeSchema = z.object({
  name: text,
  parent: refSchema.optional(),
  resourcePool: refSchema.optional(),
});
export const clusterSchema = computeSchema.extend({
  'summary.currentEVCModeKey': text.optional(),
});
export const namedSchema = z.object({ name: text, parent: refSchema.optional() });
export const datacenterSchema = namedSchema.extend({ vmFolder: refSchema });
export const poolSchema = namedSchema.extend({ owner: refSchema });
export const datastoreSchema = z.object({
  name: text,
  parent: refSchema.optional(),
  'summary.accessible': truth,
  'summary.multipleHostAccess': truth.optional(),
  'summary.maintenanceMode': text.optional(),
  'summary.freeSpace': int,
  'summary.capacity': int,
  'summary.url': text.optional(),
});
export const networkSchema = z.object({ name: text, parent: refSchema.optional() });
export const portgroupSchema = networkSchema.extend({
  key: text,
  'config.distributedVirtualSwitch': refSchema.optional(),
});
export const switchSchema = z.object({ uuid: text });
export const opaqueNetworkSchema = networkSchema.extend({
  summary: object({ opaqueNetworkId: text, opaqueNetworkType: text }),
});

export const checkResultsSchema = list(
  object({ host: refSchema.optional(), warning: list(faultSchema), error: list(faultSchema) }),
);

export const entityPrivilegesSchema = list(
  object({
    entity: refSchema,
    privAvailability: list(object({ privId: text, isGranted: truth })),
  }),
);
