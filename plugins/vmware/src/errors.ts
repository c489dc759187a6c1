/**
 * Native faults to ours, here and nowhere else: what vSphere answered, and what became of a call that it did not answer. vSphere's
 * faults are types (vim.fault.*, vmodl.fault.*), and a derived one is not told by its base: so each is named here. The name is
 * kept; secrets are in none of the fields that are quoted.
 */
import { PluginError, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';

/** A fault that vSphere answered with: the call, or the task, is over, and this is its outcome. */
export class VimFault extends Error {
  override readonly name = 'VimFault';
  /** e.g. `NotAuthenticated`. */
  readonly fault: string;
  /** The fault's data object, whose fields depend on the type. */
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(fault: string, message: string, detail: unknown) {
    super(message === '' ? fault : message);
    this.fault = fault;
    this.detail = typeof detail === 'object' && detail !== null ? (detail as Record<string, unknown>) : {};
  }
}

/**
 * No answer. `unreachable`: the request was never sent. `lost`, `timeout`: it may have had its effect. `not-vsphere`: whoever
 * answers there is no vCenter.
 */
export class VimSilence extends Error {
  override readonly name = 'VimSilence';
  readonly kind: 'unreachable' | 'lost' | 'timeout' | 'not-vsphere';
  readonly remedy: string | undefined;

  constructor(
    kind: VimSilence['kind'],
    message: string,
    options: { cause?: unknown; remedy?: string | undefined } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.remedy = options.remedy;
  }
}

/** The same fault without `secrets`, wherever vSphere may have put them. */
export function withoutSecrets(error: unknown, secrets: ReadonlySet<string>): unknown {
  if (!(error instanceof VimFault) || secrets.size === 0) return error;
  const clean = (text: string): string => [...secrets].reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
  const cleanAll = (value: unknown): unknown => {
    if (typeof value === 'string') return clean(value);
    if (Array.isArray(value)) return value.map(cleanAll);
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, cleanAll(each)]));
  };
  return new VimFault(error.fault, clean(error.message), cleanAll(error.detail));
}

/** Whether `error` is vSphere's answer, and one of `names` if any are given. */
export function isFault(error: unknown, ...names: readonly string[]): error is VimFault {
  return error instanceof VimFault && (names.length === 0 || names.includes(error.fault));
}

const BY_SILENCE: Readonly<Record<VimSilence['kind'], PluginErrorCode>> = {
  unreachable: 'UNREACHABLE',
  lost: 'CONNECTION_LOST',
  timeout: 'TIMEOUT',
  'not-vsphere': 'INVALID_CONFIG',
};

/** Every fault that has a meaning to the workflow; any other one is a HYPERVISOR_FAULT. */
export const FAULTS: Readonly<Record<string, PluginErrorCode>> = {
  InvalidLogin: 'LOGIN_REFUSED',
  InvalidLocale: 'LOGIN_REFUSED',
  NotAuthenticated: 'LOGIN_REFUSED',
  NoPermission: 'LOGIN_REFUSED',
  PasswordExpired: 'LOGIN_REFUSED',

  SSLVerifyFault: 'HOST_KEY_MISMATCH',
  SSLDisabledFault: 'HOST_KEY_MISMATCH',

  TaskInProgress: 'BUSY',
  ResourceInUse: 'BUSY',
  ConcurrentAccess: 'BUSY',
  VAppTaskInProgress: 'BUSY',
  MigrationNotReady: 'BUSY',
  TooManyConcurrentNativeClones: 'BUSY',

  RequestCanceled: 'ABORTED',
  Timedout: 'TIMEOUT',

  HostCommunication: 'STREAM_FAILED',
  HostNotConnected: 'STREAM_FAILED',
  HostNotReachable: 'STREAM_FAILED',
  VMotionLinkDown: 'STREAM_FAILED',
  NetworkCopyFault: 'STREAM_FAILED',
  HttpFault: 'STREAM_FAILED',
  PlatformConfigFault: 'STREAM_FAILED',

  VMotionNotConfigured: 'INCOMPATIBLE',
  VMotionNotSupported: 'INCOMPATIBLE',
  VMotionNotLicensed: 'INCOMPATIBLE',
  VMotionProtocolIncompatible: 'INCOMPATIBLE',
  VMotionAcrossNetworkNotSupported: 'INCOMPATIBLE',
  VMotionInterfaceIssue: 'INCOMPATIBLE',
  DatacenterMismatch: 'INCOMPATIBLE',
  CannotAccessVmDisk: 'INCOMPATIBLE',
  CannotAccessVmDevice: 'INCOMPATIBLE',
  CannotAccessVmConfig: 'INCOMPATIBLE',
  CannotAccessNetwork: 'INCOMPATIBLE',
  CannotAccessFile: 'INCOMPATIBLE',
  CannotAccessLocalSource: 'INCOMPATIBLE',
  InaccessibleDatastore: 'INCOMPATIBLE',
  NoDiskSpace: 'INCOMPATIBLE',
  InsufficientStorageSpace: 'INCOMPATIBLE',
  FeatureRequirementsNotMet: 'INCOMPATIBLE',
  CpuIncompatible: 'INCOMPATIBLE',
  CpuIncompatible1ECX: 'INCOMPATIBLE',
  CpuIncompatible81EDX: 'INCOMPATIBLE',
  EVCModeUnsupportedByHosts: 'INCOMPATIBLE',
  InsufficientResourcesFault: 'INCOMPATIBLE',
  InsufficientCpuResourcesFault: 'INCOMPATIBLE',
  InsufficientMemoryResourcesFault: 'INCOMPATIBLE',
  InsufficientHostCapacityFault: 'INCOMPATIBLE',
  InsufficientHostCpuCapacityFault: 'INCOMPATIBLE',
  InsufficientHostMemoryCapacityFault: 'INCOMPATIBLE',
  InsufficientFailoverResourcesFault: 'INCOMPATIBLE',
  NoCompatibleHost: 'INCOMPATIBLE',
  VirtualHardwareVersionNotSupported: 'INCOMPATIBLE',
  VirtualHardwareCompatibilityIssue: 'INCOMPATIBLE',
  UnsupportedVmxLocation: 'INCOMPATIBLE',
  DuplicateName: 'INCOMPATIBLE',
  AlreadyExists: 'INCOMPATIBLE',
  LicenseRestricted: 'INCOMPATIBLE',
  NotEnoughLicenses: 'INCOMPATIBLE',
  NetworksMayNotBeTheSame: 'INCOMPATIBLE',

  MigrationDisabled: 'NOT_MIGRATABLE',
  MigrationFeatureNotSupported: 'NOT_MIGRATABLE',
  DisallowedMigrationDeviceAttached: 'NOT_MIGRATABLE',
  InvalidState: 'NOT_MIGRATABLE',
  InvalidPowerState: 'NOT_MIGRATABLE',
  InvalidHostState: 'NOT_MIGRATABLE',
  SnapshotMoveNotSupported: 'NOT_MIGRATABLE',
  SnapshotCopyNotSupported: 'NOT_MIGRATABLE',
  LargeRDMConversionNotSupported: 'NOT_MIGRATABLE',
  LargeRDMNotSupportedOnDatastore: 'NOT_MIGRATABLE',
  RDMNotSupported: 'NOT_MIGRATABLE',
  SuspendedRelocateNotSupported: 'NOT_MIGRATABLE',
  RawDiskNotSupported: 'NOT_MIGRATABLE',
  DeviceNotSupported: 'NOT_MIGRATABLE',
  CloneFromSnapshotNotSupported: 'NOT_MIGRATABLE',
  FaultToleranceNotSameBuild: 'NOT_MIGRATABLE',
  VmConfigFault: 'NOT_MIGRATABLE',
  MethodDisabled: 'NOT_MIGRATABLE',

  InvalidArgument: 'INVALID_CONFIG',
  InvalidDatastore: 'INVALID_CONFIG',
  InvalidFolder: 'INVALID_CONFIG',
  InvalidName: 'INVALID_CONFIG',
  InvalidRequest: 'INVALID_CONFIG',
  MethodNotFound: 'INVALID_CONFIG',
  NotSupported: 'INVALID_CONFIG',
};

const MORE_SPACE = 'Make room in the datastore, or name another one in diskMap or in the option datastore.';

/** What some faults say beyond their text, and what to do about it. */
const REMEDIES: Readonly<Record<string, (detail: Readonly<Record<string, unknown>>) => string>> = {
  NoPermission: ({ privilegeId }) =>
    `Give the login the privilege ${String(privilegeId ?? 'that is missing')} (plugins/vmware/README.md lists all of them).`,
  SSLVerifyFault: ({ thumbprint }) =>
    `The source vCenter saw the certificate ${String(thumbprint ?? '?')} where the other vCenter should be. Compare it with that vCenter's own; if they differ, somebody is in between.`,
  VMotionNotConfigured: () => 'Give the host a VMkernel adapter with vMotion enabled.',
  VMotionNotLicensed: () => 'Give the host a licence with vMotion (across vCenters: Enterprise Plus).',
  HostCommunication: () =>
    'See the host’s vmkernel.log, and where the VM goes to another host, that they reach each other’s vMotion addresses (lmas check).',
  HostNotConnected: () => 'Reconnect the host in its vCenter.',
  NoDiskSpace: () => MORE_SPACE,
  InsufficientStorageSpace: () => MORE_SPACE,
  InaccessibleDatastore: () => 'See in the vCenter why the host does not reach that datastore, or name another one.',
  CannotAccessVmDisk: () => 'See that the host reaches the datastore of that disk.',
  SnapshotMoveNotSupported: () => 'Delete the snapshots, or move the VM with all of its disks to one datastore.',
};

/**
 * Turns whatever was thrown into a PluginError.
 * @param doing what failed, for people: `taking the inventory of vc1`
 */
export function toPluginError(error: unknown, doing: string): PluginError {
  if (pluginErrorCode(error) !== undefined) return error as PluginError;
  if (error instanceof VimFault) {
    const remedy = REMEDIES[error.fault]?.(error.detail);
    return new PluginError(codeOf(error), `${doing}: ${textOf(error)}`, {
      cause: error,
      native: { name: error.fault, message: error.message },
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
  if (error instanceof VimSilence) {
    const { kind, message, remedy } = error;
    return new PluginError(BY_SILENCE[kind], `${doing}: ${message}`, { cause: error, ...(remedy && { remedy }) });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new PluginError('ABORTED', `${doing}: given up`, { cause: error });
  }
  const message = error instanceof Error ? error.message : String(error);
  return new PluginError('HYPERVISOR_FAULT', `${doing}: ${message}`, { cause: error });
}

/** Without words of vSphere's own its fields have to do: `InvalidState (state=…)`. */
function textOf({ fault, message, detail }: VimFault): string {
  if (message !== fault) return `${fault}: ${message}`;
  const fields = Object.entries(detail).flatMap(([name, value]) => {
    const told = isRef(value) ? value.value : value;
    const isPlain = ['string', 'number', 'boolean'].includes(typeof told);
    return name === '_typeName' || !isPlain ? [] : [`${name}=${String(told)}`];
  });
  return fields.length === 0 ? fault : `${fault} (${fields.join(', ').slice(0, MAX_FIELDS)})`;
}

/** Characters. */
const MAX_FIELDS = 300;

const isRef = (value: unknown): value is { readonly value: unknown } =>
  typeof value === 'object' && value !== null && 'value' in value;

/** A general fault may have its reason underneath: a migration that timed out comes as GenericVmConfigFault with a text. */
function codeOf(error: VimFault): PluginErrorCode {
  const own = FAULTS[error.fault];
  if (own !== undefined) return own;
  if (error.fault === 'ManagedObjectNotFound' && isVm(error.detail.obj)) return 'VM_NOT_FOUND';
  const cause = nestedFault(error.detail);
  return (cause === undefined ? undefined : FAULTS[cause]) ?? 'HYPERVISOR_FAULT';
}

const isVm = (object: unknown): boolean =>
  typeof object === 'object' && object !== null && 'type' in object && object.type === 'VirtualMachine';

/** The type of `faultCause`, which is a LocalizedMethodFault. */
function nestedFault({ faultCause }: Readonly<Record<string, unknown>>): string | undefined {
  if (typeof faultCause !== 'object' || faultCause === null || !('fault' in faultCause)) return undefined;
  const { fault } = faultCause;
  if (typeof fault !== 'object' || fault === null || !('_typeName' in fault)) return undefined;
  return typeof fault._typeName === 'string' ? fault._typeName : undefined;
}
