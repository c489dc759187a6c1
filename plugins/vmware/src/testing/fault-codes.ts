/**
 * What every fault of vSphere that is translated has to become, written down a second time and by meaning: a fault that moves to another code by
 * mistake must be seen.
 */
import type { PluginErrorCode } from '@lmas/plugin-api';

const CODES = {
  // The login, or what it may do: never tried again by itself.
  LOGIN_REFUSED: 'InvalidLogin InvalidLocale NotAuthenticated NoPermission PasswordExpired',
  // The other vCenter is not the one that was pinned.
  HOST_KEY_MISMATCH: 'SSLVerifyFault SSLDisabledFault',
  // Somebody else has it at the moment.
  BUSY: `TaskInProgress ResourceInUse ConcurrentAccess VAppTaskInProgress MigrationNotReady
    TooManyConcurrentNativeClones`,
  ABORTED: 'RequestCanceled',
  TIMEOUT: 'Timedout',
  // The hosts do not get through to each other.
  STREAM_FAILED: `HostCommunication HostNotConnected HostNotReachable VMotionLinkDown NetworkCopyFault HttpFault
    PlatformConfigFault`,
  // The destination cannot have this VM.
  INCOMPATIBLE: `VMotionNotConfigured VMotionNotSupported VMotionNotLicensed VMotionProtocolIncompatible
    VMotionAcrossNetworkNotSupported VMotionInterfaceIssue DatacenterMismatch
    CannotAccessVmDisk CannotAccessVmDevice CannotAccessVmConfig CannotAccessNetwork CannotAccessFile
    CannotAccessLocalSource InaccessibleDatastore NoDiskSpace InsufficientStorageSpace
    FeatureRequirementsNotMet CpuIncompatible CpuIncompatible1ECX CpuIncompatible81EDX EVCModeUnsupportedByHosts
    InsufficientResourcesFault InsufficientCpuResourcesFault InsufficientMemoryResourcesFault
    InsufficientHostCapacityFault InsufficientHostCpuCapacityFault InsufficientHostMemoryCapacityFault
    InsufficientFailoverResourcesFault NoCompatibleHost
    VirtualHardwareVersionNotSupported VirtualHardwareCompatibilityIssue UnsupportedVmxLocation
    DuplicateName AlreadyExists LicenseRestricted NotEnoughLicenses NetworksMayNotBeTheSame`,
  // This VM cannot be moved as it is.
  NOT_MIGRATABLE: `MigrationDisabled MigrationFeatureNotSupported DisallowedMigrationDeviceAttached
    InvalidState InvalidPowerState InvalidHostState SnapshotMoveNotSupported SnapshotCopyNotSupported
    LargeRDMConversionNotSupported LargeRDMNotSupportedOnDatastore RDMNotSupported RawDiskNotSupported
    SuspendedRelocateNotSupported DeviceNotSupported CloneFromSnapshotNotSupported FaultToleranceNotSameBuild
    VmConfigFault MethodDisabled`,
  // The request, or what somebody has set, cannot be right.
  INVALID_CONFIG: `InvalidArgument InvalidDatastore InvalidFolder InvalidName InvalidRequest MethodNotFound
    NotSupported`,
} as const satisfies Partial<Record<PluginErrorCode, string>>;

export const EXPECTED_CODES: ReadonlyMap<string, PluginErrorCode> = new Map(
  Object.entries(CODES).flatMap(([code, names]) =>
    names.split(/\s+/).map((name) => [name, code as PluginErrorCode] as const),
  ),
);
