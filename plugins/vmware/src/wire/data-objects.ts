/**
 * What is sent to a vCenter, and only that: data objects and methods of vSphere's Web Services API, with their elements in the
 * order of the published WSDL (vim.wsdl, `vim-types.xsd`), which SOAP demands and JSON does not care for. One table makes both
 * the types that the compiler checks and what the two codecs write. Pure.
 *
 * A field is written `type`, `type[]` for a list, with `?` where it may be missing. `ref` is a ManagedObjectReference; `raw` is
 * something that vSphere sent and gets back as it was.
 */

/** The name of an object that lives at the server: `{ type: 'VirtualMachine', value: 'vm-12' }`. */
export interface Ref {
  readonly type: string;
  readonly value: string;
}

/** An answer's object, with the order of its elements kept. */
export interface RawObject {
  readonly [field: string]: unknown;
}

export const DATA_OBJECTS = {
  // PropertyCollector
  PropertyFilterSpec: {
    propSet: 'PropertySpec[]',
    objectSet: 'ObjectSpec[]',
    reportMissingObjectsInResults: 'boolean?',
  },
  PropertySpec: { type: 'string', all: 'boolean?', pathSet: 'string[]?' },
  // selectSet is declared SelectionSpec[]; a TraversalSpec is one.
  ObjectSpec: { obj: 'ref', skip: 'boolean?', selectSet: 'TraversalSpec[]?' },
  TraversalSpec: { name: 'string?', type: 'string', path: 'string', skip: 'boolean?' },
  RetrieveOptions: { maxObjects: 'int?' },
  WaitOptions: { maxWaitSeconds: 'int?', maxObjectUpdates: 'int?' },
  // Relocation
  VirtualMachineRelocateSpec: {
    service: 'ServiceLocator?',
    folder: 'ref?',
    datastore: 'ref?',
    diskMoveType: 'string?',
    pool: 'ref?',
    host: 'ref?',
    disk: 'VirtualMachineRelocateSpecDiskLocator[]?',
    deviceChange: 'VirtualDeviceConfigSpec[]?',
    profile: 'VirtualMachineDefinedProfileSpec[]?',
  },
  VirtualMachineRelocateSpecDiskLocator: {
    diskId: 'int',
    datastore: 'ref',
    diskMoveType: 'string?',
    profile: 'VirtualMachineDefinedProfileSpec[]?',
  },
  VirtualMachineDefinedProfileSpec: { profileId: 'string' },
  VirtualDeviceConfigSpec: { operation: 'string?', device: 'raw' },
  // credential is declared ServiceLocatorCredential; sslCertificate since 9.0.
  ServiceLocator: {
    instanceUuid: 'string',
    url: 'string',
    credential: 'ServiceLocatorNamePassword',
    sslThumbprint: 'string?',
    sslCertificate: 'string?',
  },
  ServiceLocatorNamePassword: { username: 'string', password: 'string' },
  // Network cards
  VirtualEthernetCardNetworkBackingInfo: { deviceName: 'string', useAutoDetect: 'boolean?', network: 'ref?' },
  VirtualEthernetCardDistributedVirtualPortBackingInfo: { port: 'DistributedVirtualSwitchPortConnection' },
  DistributedVirtualSwitchPortConnection: { switchUuid: 'string', portgroupKey: 'string?' },
  VirtualEthernetCardOpaqueNetworkBackingInfo: { opaqueNetworkId: 'string', opaqueNetworkType: 'string' },
  // Host network
  HostNetworkConfig: { netStackSpec: 'HostNetworkConfigNetStackSpec[]?' },
  HostNetworkConfigNetStackSpec: { netStackInstance: 'HostNetStackInstance', operation: 'string?' },
  HostNetStackInstance: { key: 'string?', routeTableConfig: 'HostIpRouteTableConfig?' },
  HostIpRouteTableConfig: { ipRoute: 'HostIpRouteOp[]?', ipv6Route: 'HostIpRouteOp[]?' },
  HostIpRouteOp: { changeOperation: 'string', route: 'HostIpRouteEntry' },
  HostIpRouteEntry: { network: 'string', prefixLength: 'int', gateway: 'string' },
  // PerformanceManager
  PerfQuerySpec: {
    entity: 'ref',
    maxSample: 'int?',
    metricId: 'PerfMetricId[]?',
    intervalId: 'int?',
    format: 'string?',
  },
  PerfMetricId: { counterId: 'int', instance: 'string' },
  // The guest's configuration
  VirtualMachineConfigSpec: { migrateEncryption: 'string?' },
} as const;

/** The parameters of each method that is called, without `_this`. */
export const METHODS = {
  RetrieveServiceContent: {},
  CurrentTime: {},
  Login: { userName: 'string', password: 'string', locale: 'string?' },
  Logout: {},
  CreateContainerView: { container: 'ref', type: 'string[]?', recursive: 'boolean' },
  DestroyView: {},
  CreatePropertyCollector: {},
  DestroyPropertyCollector: {},
  RetrievePropertiesEx: { specSet: 'PropertyFilterSpec[]', options: 'RetrieveOptions' },
  ContinueRetrievePropertiesEx: { token: 'string' },
  CreateFilter: { spec: 'PropertyFilterSpec', partialUpdates: 'boolean' },
  WaitForUpdatesEx: { version: 'string?', options: 'WaitOptions?' },
  FindByUuid: { datacenter: 'ref?', uuid: 'string', vmSearch: 'boolean', instanceUuid: 'boolean?' },
  FindAllByUuid: { datacenter: 'ref?', uuid: 'string', vmSearch: 'boolean', instanceUuid: 'boolean?' },
  QueryPerf: { querySpec: 'PerfQuerySpec[]' },
  HasPrivilegeOnEntities: { entity: 'ref[]', sessionId: 'string', privId: 'string[]?' },
  CheckRelocate_Task: { vm: 'ref', spec: 'VirtualMachineRelocateSpec', testType: 'string[]?' },
  RelocateVM_Task: { spec: 'VirtualMachineRelocateSpec', priority: 'string?' },
  ReconfigVM_Task: { spec: 'VirtualMachineConfigSpec' },
  CancelTask: {},
  RefreshNetworkSystem: {},
  UpdateNetworkConfig: { config: 'HostNetworkConfig', changeMode: 'string' },
} as const;

type DataObjects = typeof DATA_OBJECTS;
export type DataObjectName = keyof DataObjects;
export type MethodName = keyof typeof METHODS;

interface Basic {
  string: string;
  int: number;
  boolean: boolean;
  ref: Ref;
  raw: RawObject;
}

type ValueOf<Type> = Type extends `${infer Item}[]`
  ? readonly ValueOf<Item>[]
  : Type extends keyof Basic
    ? Basic[Type]
    : Type extends DataObjectName
      ? DataObject<Type>
      : never;
type Fields<Table> = {
  readonly [Name in keyof Table as Table[Name] extends `${string}?` ? never : Name]: ValueOf<Table[Name]>;
} & {
  readonly [Name in keyof Table as Table[Name] extends `${string}?`
    ? Name
    : never]?: Table[Name] extends `${infer Type}?` ? ValueOf<Type> | undefined : never;
};

/** A data object to be sent. */
export type DataObject<Name extends DataObjectName> = { readonly _typeName: Name } & Fields<DataObjects[Name]>;
/** What a method is called with. */
export type Parameters<Method extends MethodName> = Fields<(typeof METHODS)[Method]>;

/** Makes one: `data('HostIpRouteEntry', { network, prefixLength, gateway })`. */
export const data = <Name extends DataObjectName>(name: Name, fields: Fields<DataObjects[Name]>): DataObject<Name> =>
  ({ _typeName: name, ...fields }) as DataObject<Name>;

/** One field of a table, taken apart. */
export interface FieldType {
  readonly type: string;
  readonly list: boolean;
}

export function fieldType(written: string): FieldType {
  const bare = written.replace(/\?$/, '');
  return bare.endsWith('[]') ? { type: bare.slice(0, -2), list: true } : { type: bare, list: false };
}

/** Their order is the order of the elements. */
export const fieldsOf = (typeName: string): Readonly<Record<string, string>> | undefined =>
  Object.hasOwn(DATA_OBJECTS, typeName) ? DATA_OBJECTS[typeName as DataObjectName] : undefined;

export const isRef = (value: unknown): value is Ref =>
  typeof value === 'object' &&
  value !== null &&
  'type' in value &&
  'value' in value &&
  typeof value.type === 'string' &&
  typeof value.value === 'string';

export const refKey = ({ type, value }: Ref): string => `${type}:${value}`;
export const sameRef = (one: Ref | undefined, other: Ref | undefined): boolean =>
  one !== undefined && other !== undefined && one.value === other.value && one.type === other.type;
