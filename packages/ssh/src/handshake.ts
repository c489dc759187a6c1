/**
 * One attempt to get from nothing to a logged-in ssh2 client, with a verdict of ours for every way it can end. Owns the
 * socket until it hands the client over; on any failure the socket is destroyed. Nothing is sent to a server, not even
 * a user name, before its host key was accepted.
 */
import { connect as connectSocket } from 'node:net';
import { type Algorithms, type AnyAuthMethod, Client } from 'ssh2';
import { SshError } from './errors.ts';

export interface HandshakeSettings {
  readonly host: string;
  readonly port: number;
  readonly readyTimeoutMs: number;
  readonly algorithms: Algorithms;
  /** Tried in this order; `undefined` for a scan, which ends at the host key. */
  readonly auth: readonly AnyAuthMethod[] | undefined;
  readonly keepaliveIntervalMs?: number;
  readonly keepaliveCountMax?: number;
}

type Phase = 'connecting' | 'handshake' | 'login';

function translate(error: Error & { level?: string; code?: unknown }, phase: Phase, where: string): SshError {
  if (error.level === 'client-authentication') {
    return new SshError('LOGIN_REFUSED', `${where} refused the login.`, error);
  }
  if (error.level === 'client-timeout' && phase !== 'connecting') {
    return new SshError('TIMEOUT', `${where} did not finish the SSH login in time.`, error);
  }
  // A number is the reason of an SSH DISCONNECT message: sshd sends one when it has had enough of failed logins.
  if (phase === 'login' && typeof error.code === 'number') {
    return new SshError('LOGIN_REFUSED', `${where} ended the login: ${error.message}`, error);
  }
  if (error.level === 'handshake') {
    return new SshError('NO_COMMON_ALGORITHM', `${where} and we could not agree: ${error.message}`, error);
  }
  return new SshError('UNREACHABLE', `No SSH connection to ${where}: ${error.message}`, error);
}

/** Who may log in, in the words of ssh2: the first method decides, nothing else is tried. */
function connectOptions(settings: HandshakeSettings, verifyKey: (keyBlob: Buffer) => boolean) {
  const methods = [...(settings.auth ?? [])];
  return {
    username: settings.auth?.[0]?.username ?? 'scan',
    readyTimeout: settings.readyTimeoutMs,
    algorithms: settings.algorithms,
    keepaliveInterval: settings.keepaliveIntervalMs ?? 0,
    keepaliveCountMax: settings.keepaliveCountMax ?? 3,
    hostVerifier: (keyBlob: Buffer): boolean => verifyKey(keyBlob),
    authHandler: (_left: unknown, _partial: unknown, next: (method: AnyAuthMethod) => void): void => {
      // ssh2 takes `false` for "no more methods"; its types do not say so.
      next(methods.shift() ?? (false as unknown as AnyAuthMethod));
    },
  };
}

/**
 * Connects and logs in.
 * @param verifyKey says whether the host key (RFC 4253 blob) is trusted
 * @throws SshError UNREACHABLE, HOST_KEY_MISMATCH, NO_COMMON_ALGORITHM, LOGIN_REFUSED, TIMEOUT, ABORTED
 */
export function handshake(
  settings: HandshakeSettings,
  verifyKey: (keyBlob: Buffer) => boolean,
  signal: AbortSignal,
): Promise<Client> {
  const where = `${settings.host} port ${settings.port}`;
  if (signal.aborted) return Promise.reject(new SshError('ABORTED', 'Given up before connecting.', signal.reason));
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  const socket = connectSocket({ host: settings.host, port: settings.port, noDelay: true });
  const client = new Client();
  let phase: Phase = 'connecting';
  let mismatch = false;

  const fail = (error: SshError): void => {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
    reject(error);
  };
  const onAbort = (): void => fail(new SshError('ABORTED', `Given up connecting to ${where}.`, signal.reason));
  const onError = (error: Error): void => {
    if (mismatch) fail(new SshError('HOST_KEY_MISMATCH', `${where} showed a host key that is not pinned.`));
    else fail(translate(error, phase, where));
  };
  const onClose = (): void => onError(new Error('the connection was closed'));

  signal.addEventListener('abort', onAbort, { once: true });
  client.once('connect', () => {
    phase = 'handshake';
  });
  client.once('handshake', () => {
    phase = 'login';
  });
  client.on('error', onError);
  client.once('close', onClose);
  client.once('ready', () => {
    signal.removeEventListener('abort', onAbort);
    client.off('error', onError);
    client.off('close', onClose);
    resolve(client);
  });
  try {
    const verify = (keyBlob: Buffer): boolean => {
      const trusted = verifyKey(keyBlob);
      mismatch = !trusted;
      return trusted;
    };
    client.connect({ ...connectOptions(settings, verify), sock: socket });
  } catch (error) {
    fail(new SshError('INVALID_ARGUMENT', 'The SSH settings were refused.', error));
  }
  return promise;
}
