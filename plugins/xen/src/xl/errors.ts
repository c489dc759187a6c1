/**
 * Native faults to ours, here and nowhere else: what SSH suffered, what our program at a host refused, what xl said. xl has no
 * codes, only an exit status and words for people; so nothing is decided by what it says of an error.
 */
import { PluginError, type PluginErrorCode, pluginErrorCode } from '@lmas/plugin-api';
import { type SshErrorCode, sshErrorCode } from '@lmas/ssh';

/** The program at the host, or xl through it, has answered that it did not do it. */
export class XlRefusal extends Error {
  override readonly name = 'XlRefusal';
  /** The same may succeed later. */
  readonly busy: boolean;

  constructor(message: string, { busy = false } = {}) {
    super(message);
    this.busy = busy;
  }
}

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

/** @param doing what failed, for people: `asking the host for its guests` */
export function toPluginError(error: unknown, doing: string): PluginError {
  const message = error instanceof Error ? error.message : String(error);
  // Before ours: some codes have the same name in both tables.
  const ssh = sshErrorCode(error);
  if (ssh !== undefined) {
    const remedy = SSH_REMEDIES[ssh];
    return new PluginError(BY_SSH[ssh], `${doing}: ${message}`, { cause: error, ...(remedy && { remedy }) });
  }
  if (pluginErrorCode(error) !== undefined) return error as PluginError;
  if (error instanceof XlRefusal && error.busy) {
    return new PluginError('BUSY', `${doing}: ${message}`, {
      cause: error,
      remedy: 'xl makes or receives one guest at a time: try again when that one is there.',
    });
  }
  if (error instanceof XlRefusal) {
    return new PluginError('HYPERVISOR_FAULT', `${doing}: ${message}`, {
      cause: error,
      native: { name: 'xl', message },
    });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new PluginError('ABORTED', `${doing}: given up`, { cause: error });
  }
  return new PluginError('HYPERVISOR_FAULT', `${doing}: ${message}`, { cause: error });
}
