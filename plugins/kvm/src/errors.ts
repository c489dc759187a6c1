/**
 * Native faults to ours, here and nowhere else: what libvirt answered, what the SSH connection suffered. Libvirt's code
 * decides, never its text, which is translated and changes between releases; the text is kept for people.
 */
import { PluginError, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';
import { type SshErrorCode, sshErrorCode } from '@lmas/ssh';
import { ERROR, errorName } from './rpc/constants.ts';

/** An error that a libvirt daemon answered with: the call is over, and this is its outcome. */
export class LibvirtFault extends Error {
  override readonly name = 'LibvirtFault';
  /** VIR_ERR_*. */
  readonly number: number;
  /** VIR_FROM_*: which part of libvirt speaks. */
  readonly domain: number;

  constructor(number: number, domain: number, message: string) {
    super(message);
    this.number = number;
    this.domain = domain;
  }
}

/** Whether `error` is libvirt's answer, and one of `numbers` if any are given. */
export function isFault(error: unknown, ...numbers: readonly number[]): error is LibvirtFault {
  return error instanceof LibvirtFault && (numbers.length === 0 || numbers.includes(error.number));
}

const BY_NUMBER: ReadonlyMap<number, PluginErrorCode> = new Map([
  [ERROR.NO_DOMAIN, 'VM_NOT_FOUND'],
  [ERROR.AUTH_FAILED, 'LOGIN_REFUSED'],
  [ERROR.AUTH_CANCELLED, 'LOGIN_REFUSED'],
  [ERROR.AUTH_UNAVAILABLE, 'LOGIN_REFUSED'],
  [ERROR.ACCESS_DENIED, 'LOGIN_REFUSED'],
  [ERROR.OPERATION_ABORTED, 'ABORTED'],
  [ERROR.CPU_INCOMPATIBLE, 'INCOMPATIBLE'],
  [ERROR.CONFIG_UNSUPPORTED, 'INCOMPATIBLE'],
  [ERROR.OPERATION_UNSUPPORTED, 'INCOMPATIBLE'],
  [ERROR.DEVICE_MISSING, 'INCOMPATIBLE'],
  [ERROR.MIGRATE_UNSAFE, 'NOT_MIGRATABLE'],
  [ERROR.OPERATION_INVALID, 'NOT_MIGRATABLE'],
  [ERROR.OPERATION_TIMEOUT, 'BUSY'],
  [ERROR.RESOURCE_BUSY, 'BUSY'],
  [ERROR.INVALID_ARG, 'INVALID_CONFIG'],
  [ERROR.ARGUMENT_UNSUPPORTED, 'INVALID_CONFIG'],
  [ERROR.OVERFLOW, 'INVALID_CONFIG'],
]);

const BY_SSH: Readonly<Record<SshErrorCode, PluginErrorCode>> = {
  INVALID_ARGUMENT: 'INVALID_CONFIG',
  UNREACHABLE: 'UNREACHABLE',
  HOST_KEY_MISMATCH: 'HOST_KEY_MISMATCH',
  NO_COMMON_ALGORITHM: 'INVALID_CONFIG',
  LOGIN_REFUSED: 'LOGIN_REFUSED',
  CONNECTION_LOST: 'CONNECTION_LOST',
  FORWARD_REFUSED: 'UNREACHABLE',
  COMMAND_FAILED: 'HYPERVISOR_FAULT',
  OUTPUT_TOO_LARGE: 'HYPERVISOR_FAULT',
  TRANSFER_FAILED: 'HYPERVISOR_FAULT',
  TIMEOUT: 'TIMEOUT',
  SUPERSEDED: 'SUPERSEDED',
  ABORTED: 'ABORTED',
};

const SSH_REMEDIES: Partial<Record<SshErrorCode, string>> = {
  HOST_KEY_MISMATCH:
    'If it was set up anew, compare with what the host itself says (ssh-keygen -lf), then pin the new key: PUT /v1/endpoints/{id}/host-keys, or lmas host-key pin.',
};

/** While data flows these three mean that the flow broke; libvirt has no code of its own for that. */
const BROKEN_FLOW: readonly number[] = [ERROR.OPERATION_FAILED, ERROR.INTERNAL_ERROR, ERROR.SYSTEM_ERROR];

/** The same error, said to have come after the guest was let go at the destination. */
export function afterArrival({ code, message, native, remedy, retryable, cause }: PluginError): PluginError {
  const kept = { cause, retryable, arrived: true, ...(native && { native }), ...(remedy && { remedy }) };
  return new PluginError(code, message, kept);
}

/**
 * Turns whatever was thrown into a PluginError.
 * @param doing what failed, for people: `starting the incoming guest`; left out where the error says so itself
 * @param flowing whether migration data was on its way
 */
export function toPluginError(error: unknown, doing?: string, { flowing = false } = {}): PluginError {
  const said = (what: string) => (doing === undefined ? what : `${doing}: ${what}`);
  const message = said(error instanceof Error ? error.message : String(error));
  // Before ours: some codes have the same name in both tables.
  const ssh = sshErrorCode(error);
  if (ssh !== undefined) {
    const remedy = SSH_REMEDIES[ssh];
    return new PluginError(BY_SSH[ssh], message, { cause: error, ...(remedy && { remedy }) });
  }
  if (pluginErrorCode(error) !== undefined) return error as PluginError;
  if (error instanceof LibvirtFault) {
    const code = flowing && BROKEN_FLOW.includes(error.number) ? 'STREAM_FAILED' : BY_NUMBER.get(error.number);
    return new PluginError(code ?? 'HYPERVISOR_FAULT', message, {
      cause: error,
      native: { name: errorName(error.number), message: error.message },
    });
  }
  if (error instanceof Error && error.name === 'TimeoutError') {
    return new PluginError('TIMEOUT', said('no answer in time'), { cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new PluginError('ABORTED', said('given up'), { cause: error });
  }
  return new PluginError('HYPERVISOR_FAULT', message, { cause: error });
}
