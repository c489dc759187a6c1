/**
 * What is published and the library of Debian (govmomi 0.24.2, the types of vSphere 7.0) does not have or does not say. Each line with
 * its source; nothing else may be added to the types. An endpoint of an earlier release knows none of what is younger. Of what that library has,
 * everything that the plugin sends or asks for is in govmomi's types of 6.5.0 (757a2d6d) and 6.7 (64788667) already, in the same order.
 */
import type { Field } from './schema.ts';

/** Appended to the fields of a type. */
export const NEWER_FIELDS: Readonly<Record<string, readonly Field[]>> = {
  // vSphere Web Services API 8.0.1.0, TaskInfo: "progressDetails"; govmomi HEAD, vim25/types/types.go.
  TaskInfo: [{ name: 'progressDetails', type: 'KeyAnyValue', array: true, optional: true, since: '8.0.1.0' }],
  // vSphere Web Services API 9.0.0.0, ServiceLocator: "sslCertificate" (PEM), which supersedes the thumbprint; where both are set they have to
  // be of one certificate. govmomi HEAD (types of 9.0.0.0).
  ServiceLocator: [{ name: 'sslCertificate', type: 'string', array: false, optional: true, since: '9.0.0.0' }],
};

export const NEWER_ENUM_VALUES: readonly { readonly type: string; readonly value: string }[] = [];

/**
 * Members that are plain strings in the published types, and whose documentation says which enumeration they hold
 * (vSphere Web Services API reference, the page of each type).
 */
export const ENUMERATED_STRINGS: Readonly<Record<string, string>> = {
  'VirtualMachineRelocateSpec.diskMoveType': 'VirtualMachineRelocateDiskMoveOptions',
  'VirtualMachineRelocateSpecDiskLocator.diskMoveType': 'VirtualMachineRelocateDiskMoveOptions',
  'VirtualMachineConfigInfo.migrateEncryption': 'VirtualMachineConfigSpecEncryptedVMotionModes',
  'VirtualMachineConfigSpec.migrateEncryption': 'VirtualMachineConfigSpecEncryptedVMotionModes',
  'HostIpRouteOp.changeOperation': 'HostConfigChangeOperation',
  'HostNetworkConfigNetStackSpec.operation': 'ConfigSpecOperation',
  'UpdateNetworkConfig.changeMode': 'HostConfigChangeMode',
  'CheckRelocate_Task.testType': 'CheckTestType',
  'CheckMigrate_Task.testType': 'CheckTestType',
};
