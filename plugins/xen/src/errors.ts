/**
 * Native faults to ours, here and nowhere else: what XAPI answered, and what became of a call that it did not answer. XAPI's
 * error codes are strings with parameters (ocaml/xapi-consts/api_errors.ml); the name is kept, the parameters become the text.
 */
import { PluginError, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';

/** An error that XAPI answered with: the call is over, and this is its outcome. */
export class XapiFault extends Error {
  override readonly name = 'XapiFault';
  /** e.g. `HOST_IS_SLAVE`. */
  readonly code: string;
  readonly params: readonly string[];

  constructor(code: string, params: readonly string[]) {
    // Its parameter is the session itself.
    const harmless = code === 'SESSION_INVALID' ? [] : params.map(withoutSessions);
    super(harmless.length === 0 ? code : `${code} (${harmless.join(', ')})`);
    this.code = code;
    this.params = harmless;
  }
}

/** XAPI quotes URLs and other pools' faults in its own; whoever has the session in them is logged in. */
const withoutSessions = (text: string): string => text.replace(/(session_id=|SESSION_INVALID\W+)[\w:-]+/g, '$1…');

/** The same fault without `secret`, wherever XAPI may have put it. */
export function withoutSecret(error: unknown, secret: string | undefined): unknown {
  if (!(error instanceof XapiFault) || secret === undefined || secret === '') return error;
  return new XapiFault(
    error.code,
    error.params.map((param) => param.replaceAll(secret, '…')),
  );
}

/**
 * No answer. `unreachable`: the request was never sent. `lost`, `timeout`: it may have had its effect. `not-xapi`: whoever
 * answers there is not XAPI.
 */
export class XapiSilence extends Error {
  override readonly name = 'XapiSilence';
  readonly kind: 'unreachable' | 'lost' | 'timeout' | 'not-xapi';
  readonly remedy: string | undefined;

  constructor(
    kind: XapiSilence['kind'],
    message: string,
    options: { cause?: unknown; remedy?: string | undefined } = {},
  ) {
    super(message, options);
    this.kind = kind;
    this.remedy = options.remedy;
  }
}

/** Whether `error` is XAPI's answer, and one of `codes` if any are given. */
export function isFault(error: unknown, ...codes: readonly string[]): error is XapiFault {
  return error instanceof XapiFault && (codes.length === 0 || codes.includes(error.code));
}

const BY_SILENCE: Readonly<Record<XapiSilence['kind'], PluginErrorCode>> = {
  unreachable: 'UNREACHABLE',
  lost: 'CONNECTION_LOST',
  timeout: 'TIMEOUT',
  'not-xapi': 'INVALID_CONFIG',
};

const BY_CODE: Readonly<Record<string, PluginErrorCode>> = {
  SESSION_AUTHENTICATION_FAILED: 'LOGIN_REFUSED',
  SESSION_INVALID: 'LOGIN_REFUSED',
  RBAC_PERMISSION_DENIED: 'LOGIN_REFUSED',
  USER_IS_NOT_LOCAL_SUPERUSER: 'LOGIN_REFUSED',

  CANNOT_CONTACT_HOST: 'STREAM_FAILED',
  TLS_CONNECTION_FAILED: 'STREAM_FAILED',
  SSL_VERIFY_ERROR: 'STREAM_FAILED',
  VM_MIGRATE_FAILED: 'STREAM_FAILED',
  VM_MIGRATE_CONTACT_REMOTE_SERVICE_FAILED: 'STREAM_FAILED',
  MIRROR_FAILED: 'STREAM_FAILED',
  VDI_COPY_FAILED: 'STREAM_FAILED',

  TASK_CANCELLED: 'ABORTED',

  OTHER_OPERATION_IN_PROGRESS: 'BUSY',
  TOO_MANY_STORAGE_MIGRATES: 'BUSY',
  HOST_STILL_BOOTING: 'BUSY',
  NOT_SUPPORTED_DURING_UPGRADE: 'BUSY',
  VDI_IN_USE: 'BUSY',

  VM_INCOMPATIBLE_WITH_THIS_HOST: 'INCOMPATIBLE',
  VM_HOST_INCOMPATIBLE_VERSION: 'INCOMPATIBLE',
  VM_HOST_INCOMPATIBLE_VERSION_MIGRATE: 'INCOMPATIBLE',
  HOST_NOT_ENOUGH_FREE_MEMORY: 'INCOMPATIBLE',
  HOST_NOT_ENOUGH_PCPUS: 'INCOMPATIBLE',
  NO_HOSTS_AVAILABLE: 'INCOMPATIBLE',
  HOST_DISABLED: 'INCOMPATIBLE',
  SR_FULL: 'INCOMPATIBLE',
  SR_DOES_NOT_SUPPORT_MIGRATION: 'INCOMPATIBLE',
  HOST_CANNOT_ATTACH_NETWORK: 'INCOMPATIBLE',
  PIF_HAS_NO_NETWORK_CONFIGURATION: 'INCOMPATIBLE',
  INTERFACE_HAS_NO_IP: 'INCOMPATIBLE',
  LICENCE_RESTRICTION: 'INCOMPATIBLE',
  DUPLICATE_VM: 'INCOMPATIBLE',

  VM_BAD_POWER_STATE: 'NOT_MIGRATABLE',
  OPERATION_NOT_ALLOWED: 'NOT_MIGRATABLE',
  VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION: 'NOT_MIGRATABLE',
  VDI_CBT_ENABLED: 'NOT_MIGRATABLE',
  VDI_IS_ENCRYPTED: 'NOT_MIGRATABLE',
  VM_HAS_TOO_MANY_SNAPSHOTS: 'NOT_MIGRATABLE',
  VM_HAS_CHECKPOINT: 'NOT_MIGRATABLE',
  VM_HAS_PCI_ATTACHED: 'NOT_MIGRATABLE',
  VM_HAS_SRIOV_VIF: 'NOT_MIGRATABLE',
  VM_HAS_VUSBS: 'NOT_MIGRATABLE',
  VM_LACKS_FEATURE: 'NOT_MIGRATABLE',
  VM_LACKS_FEATURE_SUSPEND: 'NOT_MIGRATABLE',
  VM_MISSING_PV_DRIVERS: 'NOT_MIGRATABLE',
  VM_NON_SUSPENDABLE: 'NOT_MIGRATABLE',
  VM_IS_PROTECTED: 'NOT_MIGRATABLE',
  BALLOONING_TIMEOUT_BEFORE_MIGRATION: 'NOT_MIGRATABLE',

  VDI_NOT_IN_MAP: 'INVALID_CONFIG',
  VIF_NOT_IN_MAP: 'INVALID_CONFIG',
  UUID_INVALID: 'INVALID_CONFIG',
};

/** What a person does about XAPI's commonest refusals. */
const REMEDIES: Readonly<Record<string, string>> = {
  RBAC_PERMISSION_DENIED: 'Give the login the role VM power admin or higher.',
  LICENCE_RESTRICTION:
    'License every host of both pools for Storage XenMotion. Only inside one pool, with all disks on storage that both hosts see, the VM moves without: over the transparent route, or directly.',
  HOST_NOT_ENOUGH_FREE_MEMORY: 'Make room at the receiving host, or choose another destinationHost.',
  HOST_NOT_ENOUGH_PCPUS: 'Choose a destinationHost with as many processors as the VM may have (VCPUs-max).',
  HOST_DISABLED: 'Enable the receiving host (xe host-enable), or choose another destinationHost.',
  VM_INCOMPATIBLE_WITH_THIS_HOST:
    'The receiving host’s processor lacks features that the VM has seen: choose another destinationHost, or restart the VM at a pool level that both have.',
  VM_HOST_INCOMPATIBLE_VERSION_MIGRATE: 'Choose a receiving host that is not older, or update it.',
  VM_MISSING_PV_DRIVERS: 'Install the guest tools in the VM, and start it anew.',
  VM_LACKS_FEATURE: 'See that the guest tools run in the VM, or install newer ones.',
  VM_LACKS_FEATURE_SUSPEND: 'See that the guest tools run in the VM, or install newer ones.',
  VM_REQUIRES_SR: 'Plug the storage in at the receiving host (xe pbd-plug), or choose another destinationHost.',
  SR_FULL: 'Make room on the destination’s storage, or map disks to other storage.',
  SR_DOES_NOT_SUPPORT_MIGRATION: 'Map the disk to storage of another type, or move the VM while it is shut down.',
  VM_REQUIRES_VGPU: 'Choose a destinationHost with a GPU of that type; name its GPU group by the option gpuGroup.',
  VDI_CBT_ENABLED:
    'Turn changed-block tracking off for the move (xe vdi-disable-cbt); backups start afresh afterwards.',
  OTHER_OPERATION_IN_PROGRESS: 'Wait for the end of what the pool is at, and submit the migration again.',
  TOO_MANY_STORAGE_MIGRATES: 'Wait for the end of other moves of disks at that host.',
  VM_HAS_PCI_ATTACHED: 'Take the PCI device away from the VM.',
  DUPLICATE_VM: 'See which of the two pools runs it (xl list -v), and remove the record in the other one alone.',
};

/** `undefined` where the code alone has to do. */
export const remedyOf = ({ code }: XapiFault): string | undefined => REMEDIES[code];

/**
 * Turns whatever was thrown into a PluginError.
 * @param doing what failed, for people: `asking the pool for its hosts`
 */
export function toPluginError(error: unknown, doing: string): PluginError {
  if (pluginErrorCode(error) !== undefined) return error as PluginError;
  if (error instanceof XapiFault) {
    const remedy = remedyOf(error);
    return new PluginError(BY_CODE[error.code] ?? 'HYPERVISOR_FAULT', `${doing}: ${error.message}`, {
      cause: error,
      native: { name: error.code, message: error.params.join(', ') },
      ...(remedy === undefined ? {} : { remedy }),
    });
  }
  if (error instanceof XapiSilence) {
    const { kind, message, remedy } = error;
    return new PluginError(BY_SILENCE[kind], `${doing}: ${message}`, { cause: error, ...(remedy && { remedy }) });
  }
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'AbortError') {
    return new PluginError('ABORTED', `${doing}: given up`, { cause: error });
  }
  return new PluginError('HYPERVISOR_FAULT', `${doing}: ${message}`, { cause: error });
}
