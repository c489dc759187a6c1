/**
 * The errors of this package: one table, one class. Compare `code`, never text. No message and no cause carries a
 * secret: neither keys, passphrases and passwords, nor the standard input of a command.
 */

/** Every code; `retryable`: the same call may succeed later, unchanged. The README shows the same table. */
export const SSH_ERRORS = {
  INVALID_ARGUMENT: {
    retryable: false,
    meaning: 'The settings cannot be right: a bad fingerprint, an unreadable key.',
  },
  UNREACHABLE: { retryable: true, meaning: 'No SSH server answered: name, route, port, or it is down.' },
  HOST_KEY_MISMATCH: { retryable: false, meaning: 'The server showed no host key that is pinned.' },
  NO_COMMON_ALGORITHM: { retryable: false, meaning: 'The server offers no algorithm that we still accept.' },
  LOGIN_REFUSED: { retryable: false, meaning: 'The server refused the user, the key or the password.' },
  CONNECTION_LOST: { retryable: true, meaning: 'The connection broke; what was under way may have had its effect.' },
  FORWARD_REFUSED: {
    retryable: true,
    meaning: 'The server could not or would not open the socket to be forwarded to.',
  },
  COMMAND_FAILED: { retryable: false, meaning: 'The command could not be started, or ended with an exit code but 0.' },
  OUTPUT_TOO_LARGE: { retryable: false, meaning: 'The command wrote more than the caller was ready to hold.' },
  TRANSFER_FAILED: { retryable: true, meaning: 'A file could not be written at the server.' },
  TIMEOUT: { retryable: true, meaning: 'The server did not do in time what it was asked for.' },
  SUPERSEDED: { retryable: false, meaning: 'A later run of the same migration is connected to this host.' },
  ABORTED: { retryable: false, meaning: 'The caller gave up.' },
} as const satisfies Record<string, { retryable: boolean; meaning: string }>;

export type SshErrorCode = keyof typeof SSH_ERRORS;

export class SshError extends Error {
  override readonly name = 'SshError';
  readonly code: SshErrorCode;
  readonly retryable: boolean;

  constructor(code: SshErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = SSH_ERRORS[code].retryable;
  }
}

/** Reads the code of an error that may come from another copy of this package; `undefined` for any other error. */
export function sshErrorCode(error: unknown): SshErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error) || !('name' in error)) return undefined;
  const { code, name } = error;
  return name === 'SshError' && typeof code === 'string' && code in SSH_ERRORS ? (code as SshErrorCode) : undefined;
}
