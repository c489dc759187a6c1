/**
 * Numbers of libvirt's public headers (libvirt-domain.h, virterror.h), under libvirt's own names in camel case.
 */

/** VIR_MIGRATE_*. */
export const MIGRATE = {
  live: 1,
  peerToPeer: 2,
  persistDestination: 8,
  nonSharedDisk: 64,
  /** Holds the job from Begin to Confirm, so that nobody changes the domain in between. Source calls only. */
  changeProtection: 256,
  unsafe: 512,
  /** With which method, the parameter `compression` says. */
  compressed: 2048,
  /** Source calls only. */
  abortOnError: 4096,
  /** Source calls only. */
  autoConverge: 8192,
  /** Needs START_POST_COPY to begin; not with parallel before QEMU 10. */
  postCopy: 32_768,
  /** QEMU multifd. */
  parallel: 131_072,
  /** libvirt 8.0; only with nonSharedDisk. */
  synchronousWrites: 262_144,
  /** libvirt 8.5: takes up a post-copy migration whose streams broke. */
  postCopyResume: 524_288,
} as const;

/** VIR_DOMAIN_STATS_*: what is told of each domain. */
export const DOMAIN_STATS = { cpuTotal: 2, balloon: 4, interface: 16, dirtyRate: 512 } as const;

/** VIR_DOMAIN_DIRTYRATE_*: how far a measurement has got. */
export const DIRTY_RATE = { unstarted: 0, measuring: 1, measured: 2 } as const;

/** VIR_CONNECT_GET_ALL_DOMAINS_STATS_*: of which, and without waiting for one that is stuck (libvirt 4.5). */
export const STATS_OF = { running: 16, noWait: 536_870_912 } as const;

/**
 * VIR_CONNECT_LIST_STORAGE_POOLS_*: which. `networked` is NETFS, ISCSI, RBD, SHEEPDOG, GLUSTER and VSTORAGE; without ISCSI_DIRECT, which
 * libvirt refuses before 5.6.
 */
export const LIST_POOLS = { active: 2, networked: 256 | 2_048 | 16_384 | 32_768 | 65_536 | 262_144 } as const;

/** VIR_STORAGE_POOL_*. */
export const POOL_STATE = { inactive: 0, building: 1, running: 2, degraded: 3, inaccessible: 4 } as const;

/** VIR_DOMAIN_*. */
export const STATE = {
  noState: 0,
  running: 1,
  blocked: 2,
  paused: 3,
  shuttingDown: 4,
  shutOff: 5,
  crashed: 6,
  pmSuspended: 7,
} as const;

/** VIR_DOMAIN_PAUSED_*. */
export const PAUSED = {
  unknown: 0,
  user: 1,
  migration: 2,
  ioError: 5,
  startingUp: 11,
  postCopy: 12,
  postCopyFailed: 13,
} as const;

/** VIR_DOMAIN_RUNNING_*. */
export const RUNNING = {
  unknown: 0,
  booted: 1,
  migrated: 2,
  migrationCanceled: 6,
  postCopy: 10,
  postCopyFailed: 11,
} as const;

/** VIR_DOMAIN_SHUTOFF_*. */
export const SHUTOFF = { unknown: 0, shutdown: 1, destroyed: 2, migrated: 4, failed: 6 } as const;

/** VIR_DOMAIN_JOB_*. */
export const JOB = { none: 0, bounded: 1, unbounded: 2, completed: 3, failed: 4, cancelled: 5 } as const;

/** VIR_DOMAIN_JOB_OPERATION_*: what kind of job it is; libvirt 3.3. */
export const OPERATION = { migrationIn: 4, migrationOut: 5, backup: 9 } as const;

/** VIR_DOMAIN_ABORT_JOB_*: post-copy is paused by it, not ended. */
export const ABORT_JOB = { postCopy: 1 } as const;

export const JOB_STATS = { completed: 1, keepCompleted: 2 } as const;

/** VIR_DOMAIN_XML_*. */
export const XML = { secure: 1, inactive: 2, migratable: 8 } as const;

/** VIR_DOMAIN_UNDEFINE_*. */
export const UNDEFINE = { managedSave: 1, keepNvram: 8, checkpointsMetadata: 16, keepTpm: 64 } as const;

/** VIR_CPU_COMPARE_*. */
export const CPU_COMPARE = { error: -1, incompatible: 0, identical: 1, superset: 2 } as const;

/** VIR_DRV_FEATURE_* (libvirt_internal.h). */
export const FEATURE = { changeProtection: 7, keepalive: 10, migrationParams: 13, eventCallbackIds: 14 } as const;

/** VIR_ERR_*: the ones that have a meaning here, and names for the ones that are shown. */
export const ERROR = {
  INTERNAL_ERROR: 1,
  NO_SUPPORT: 3,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  DOM_EXIST: 28,
  SYSTEM_ERROR: 38,
  RPC: 39,
  NO_DOMAIN: 42,
  AUTH_FAILED: 45,
  NO_STORAGE_POOL: 49,
  NO_STORAGE_VOL: 50,
  OPERATION_INVALID: 55,
  NO_SECRET: 66,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  MIGRATE_PERSIST_FAILED: 69,
  HOOK_SCRIPT_FAILED: 70,
  ARGUMENT_UNSUPPORTED: 74,
  OPERATION_ABORTED: 78,
  AUTH_CANCELLED: 79,
  MIGRATE_UNSAFE: 81,
  OVERFLOW: 82,
  OPERATION_UNSUPPORTED: 84,
  RESOURCE_BUSY: 87,
  ACCESS_DENIED: 88,
  STORAGE_VOL_EXIST: 90,
  CPU_INCOMPATIBLE: 91,
  MIGRATE_FINISH_OK: 93,
  AUTH_UNAVAILABLE: 94,
  DEVICE_MISSING: 99,
  NO_DOMAIN_BACKUP: 104,
} as const;

/** The name of an error code, as libvirt's own documentation writes it. */
export function errorName(code: number): string {
  const entry = Object.entries(ERROR).find(([, value]) => value === code);
  return entry === undefined ? `VIR_ERR_${code}` : `VIR_ERR_${entry[0]}`;
}
