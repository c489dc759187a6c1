/**
 * Opens a connection to a server whose host keys are pinned. The caller owns what `connectSsh` returns, and closes it.
 */
import type { AnyAuthMethod } from 'ssh2';
import { ALL_FAMILIES, HOST_KEY_FAMILIES, type HostKeyFamily, offer } from './algorithms.ts';
import { SshConnection } from './connection.ts';
import { SshError, sshErrorCode } from './errors.ts';
import { handshake } from './handshake.ts';
import { fingerprint, parsePins } from './host-keys.ts';
import { inspectPrivateKey } from './private-key.ts';

export type SshCredential =
  | {
      readonly kind: 'ssh-key';
      readonly username: string;
      /** PEM or OpenSSH format. */
      readonly privateKey: string;
      readonly passphrase?: string | undefined;
    }
  | { readonly kind: 'password'; readonly username: string; readonly password: string };

export interface SshLogger {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface SshTarget {
  readonly host: string;
  readonly port?: number;
  readonly credential: SshCredential;
  /** Fingerprints as `ssh-keygen -lf` prints them (`SHA256:…`); the server has to show one of them. */
  readonly hostKeys: readonly string[];
  /** For the TCP connection, the key exchange and the login together. */
  readonly readyTimeoutMs?: number;
  /** A silent peer is declared dead after four of these. */
  readonly keepaliveIntervalMs?: number;
  readonly log?: SshLogger;
}

const DEFAULT_READY_TIMEOUT_MS = 15_000;
/** With the three probes below, a peer is dead after 12 s: sooner than libvirt's own 30 s. */
const DEFAULT_KEEPALIVE_INTERVAL_MS = 3_000;
const KEEPALIVE_PROBES = 3;

/** The login methods for a credential. @throws SshError INVALID_ARGUMENT when the key cannot be read; never quotes it */
function authMethods(credential: SshCredential): AnyAuthMethod[] {
  const { username } = credential;
  if (credential.kind === 'password') {
    const { password } = credential;
    return [
      { type: 'password', username, password },
      {
        type: 'keyboard-interactive',
        username,
        // Servers with PAM often ask for the password this way. Any other question gets no answer.
        prompt: (_name, _instructions, _lang, prompts, finish) =>
          finish(prompts.map((prompt) => (prompts.length === 1 && prompt.echo !== true ? password : ''))),
      },
    ];
  }
  const { privateKey, passphrase } = credential;
  inspectPrivateKey(privateKey, passphrase);
  return [{ type: 'publickey', username, key: privateKey, ...(passphrase === undefined ? {} : { passphrase }) }];
}

function familyOf(keyBlob: Buffer): HostKeyFamily {
  const type = keyBlob.toString('latin1', 4, 4 + keyBlob.readUInt32BE(0));
  if (type.startsWith('ssh-rsa')) return 'rsa';
  return (HOST_KEY_FAMILIES.ecdsa as readonly string[]).includes(type) ? 'ecdsa' : 'ed25519';
}

/**
 * Connects, checks the host key against the pins, logs in.
 *
 * A server shows one key, of the first family both sides know, and pins do not say which family they are of: after a
 * mismatch the other families are asked for too, before the verdict. Nothing was sent to the server by then.
 * @throws SshError INVALID_ARGUMENT, UNREACHABLE, HOST_KEY_MISMATCH, NO_COMMON_ALGORITHM, LOGIN_REFUSED, TIMEOUT, ABORTED
 */
export async function connectSsh(target: SshTarget, { signal }: { signal: AbortSignal }): Promise<SshConnection> {
  const pins = parsePins(target.hostKeys);
  const port = target.port ?? 22;
  const settings = {
    host: target.host,
    port,
    readyTimeoutMs: target.readyTimeoutMs ?? DEFAULT_READY_TIMEOUT_MS,
    auth: authMethods(target.credential),
    keepaliveIntervalMs: target.keepaliveIntervalMs ?? DEFAULT_KEEPALIVE_INTERVAL_MS,
    keepaliveCountMax: KEEPALIVE_PROBES,
  };
  const shown: string[] = [];
  let families = [...ALL_FAMILIES];
  for (;;) {
    let family: HostKeyFamily | undefined;
    const verify = (keyBlob: Buffer): boolean => {
      const print = fingerprint(keyBlob);
      if (pins.has(print)) return true;
      shown.push(print);
      family = familyOf(keyBlob);
      return false;
    };
    try {
      const client = await handshake({ ...settings, algorithms: offer(families) }, verify, signal);
      return new SshConnection(client, `${target.host} port ${port}`, target.log);
    } catch (error) {
      const code = sshErrorCode(error);
      families = families.filter((candidate) => candidate !== family);
      const askedAll = code === 'NO_COMMON_ALGORITHM' || families.length === 0;
      if (shown.length === 0 || (code !== 'HOST_KEY_MISMATCH' && !askedAll)) throw error;
      if (askedAll) {
        const message = `${target.host} port ${port} showed ${shown.join(', ')}; pinned is ${[...pins].join(', ')}. Either it was set up anew, or another machine answers in its place.`;
        throw new SshError('HOST_KEY_MISMATCH', message);
      }
    }
  }
}
