/**
 * ssh2 made safe: pinned host keys, modern algorithms, argument vectors instead of command lines, whole files or none,
 * Unix-socket forwarding, and errors with codes. See the README for the table of errors.
 */
export { connectSsh, type SshCredential, type SshLogger, type SshTarget } from './connect.ts';
export { SshConnection } from './connection.ts';
export { SSH_ERRORS, SshError, type SshErrorCode, sshErrorCode } from './errors.ts';
export type { ExecOptions, ExecResult } from './exec.ts';
export { fingerprint, type ScannedHostKey, scanHostKeys } from './host-keys.ts';
export { inspectPrivateKey, type PrivateKeyFacts } from './private-key.ts';
export { quoteArgument, quoteCommand } from './quote.ts';
export { type MarkedRun, takeOver } from './take-over.ts';
export type { UploadOptions, UploadSource } from './upload.ts';
