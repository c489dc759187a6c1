/**
 * The one error type that crosses the contract. Plugins translate native faults to these codes in their `errors.ts`
 * and nowhere else; the orchestrator compares `code`, never text, never `instanceof` (a third party's plugin may bring
 * its own copy of this package).
 */

/** Every code, with what it means to the workflow. `retryable`: the same request may succeed later, unchanged. */
export const PLUGIN_ERRORS = {
  INVALID_CONFIG: {
    retryable: false,
    meaning: 'The endpoint or the options cannot be right, whatever the hypervisor says.',
  },
  UNREACHABLE: { retryable: true, meaning: 'The control point cannot be reached: name, route, port, or it is down.' },
  CONNECTION_LOST: {
    retryable: true,
    meaning: 'The control connection broke in the middle of a call: its outcome is unknown.',
  },
  LOGIN_REFUSED: {
    retryable: false,
    meaning: 'The credentials are wrong or lack privileges. Never tried again by itself: accounts get locked.',
  },
  HOST_KEY_MISMATCH: { retryable: false, meaning: 'The peer is not the one that was registered.' },
  VM_NOT_FOUND: { retryable: false, meaning: 'No such VM at the source.' },
  NOT_MIGRATABLE: { retryable: false, meaning: 'The hypervisor refuses to move this VM as it is.' },
  INCOMPATIBLE: { retryable: false, meaning: 'The destination cannot build or run this guest.' },
  BUSY: { retryable: true, meaning: 'Another operation holds the VM, or the one place for it at its host.' },
  STREAM_FAILED: { retryable: true, meaning: 'The migration data path broke.' },
  ABORTED: { retryable: false, meaning: 'Cancelled, by us or by somebody at the hypervisor.' },
  TIMEOUT: { retryable: true, meaning: 'The hypervisor did not answer in time.' },
  OUTCOME_UNKNOWN: {
    retryable: false,
    meaning: 'Nobody who knows where the VM runs could be asked. Nothing was destroyed or resumed.',
  },
  SUPERSEDED: { retryable: false, meaning: 'Another run has taken this migration over; this one must not act.' },
  HYPERVISOR_FAULT: { retryable: false, meaning: 'Anything else the hypervisor answered; see `native`.' },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

export type PluginErrorCode = keyof typeof PLUGIN_ERRORS;

/** What the hypervisor itself said, names kept. */
export interface NativeFault {
  /** e.g. `VIR_ERR_OPERATION_FAILED`, `SR_FULL`, `InvalidState`. */
  readonly name: string;
  readonly message: string;
}

export class PluginError extends Error {
  override readonly name = 'PluginError';
  readonly code: PluginErrorCode;
  readonly retryable: boolean;
  readonly native: NativeFault | undefined;
  /** One sentence for the operator: what to do next. */
  readonly remedy: string | undefined;
  /**
   * Whatever failed, it failed after the guest was let go at the destination: the destination said that it started it, or
   * was seen running it. The migration is never undone from then on; only the source is still to be tidied.
   */
  readonly arrived: boolean;

  constructor(
    code: PluginErrorCode,
    message: string,
    extra: { cause?: unknown; native?: NativeFault; remedy?: string; retryable?: boolean; arrived?: boolean } = {},
  ) {
    super(message, extra.cause === undefined ? undefined : { cause: extra.cause });
    this.code = code;
    this.retryable = extra.retryable ?? PLUGIN_ERRORS[code].retryable;
    this.native = extra.native;
    this.remedy = extra.remedy;
    this.arrived = extra.arrived ?? false;
  }
}

/** Whether an error, perhaps from another copy of this package, says that the guest had arrived before. */
export function hasArrived(error: unknown): boolean {
  return pluginErrorCode(error) !== undefined && (error as { arrived?: unknown }).arrived === true;
}

/** Reads the code of an error that may come from another copy of this package; `undefined` for any other error. */
export function pluginErrorCode(error: unknown): PluginErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' && code in PLUGIN_ERRORS ? (code as PluginErrorCode) : undefined;
}
