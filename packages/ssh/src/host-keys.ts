/**
 * Host keys are pinned by fingerprint: there is no trust on first use. `scanHostKeys` reads what a server shows, so that
 * a person can compare it with what `ssh-keygen -lf` prints on the server's own console before registering it.
 */
import { createHash } from 'node:crypto';
import { ALL_FAMILIES, type HostKeyFamily, offer } from './algorithms.ts';
import { SshError, sshErrorCode } from './errors.ts';
import { handshake } from './handshake.ts';

const FINGERPRINT = /^SHA256:[A-Za-z0-9+/]{43}$/;

/** The fingerprint of a public key blob (RFC 4253 section 6.6), as `ssh-keygen -lf` prints it. */
export function fingerprint(keyBlob: Buffer): string {
  return `SHA256:${createHash('sha256').update(keyBlob).digest('base64').replace(/=+$/, '')}`;
}

/** The pins as a set. @throws SshError INVALID_ARGUMENT when there is none or one is not a SHA-256 fingerprint */
export function parsePins(hostKeys: readonly string[]): ReadonlySet<string> {
  if (hostKeys.length === 0) {
    throw new SshError('INVALID_ARGUMENT', 'No host key is pinned: a server that nobody has checked is not trusted.');
  }
  for (const pin of hostKeys) {
    if (!FINGERPRINT.test(pin)) {
      throw new SshError('INVALID_ARGUMENT', `Not a fingerprint as ssh-keygen -lf prints it (SHA256:…): ${pin}`);
    }
  }
  return new Set(hostKeys);
}

export interface ScannedHostKey {
  readonly family: HostKeyFamily;
  readonly fingerprint: string;
}

/**
 * Every host key a server shows, one connection per key family. Nothing is logged in and nothing is trusted: the answer
 * is only worth what the comparison by a person is.
 * @throws SshError UNREACHABLE, TIMEOUT, ABORTED
 */
export async function scanHostKeys(
  host: string,
  port: number,
  { signal, timeoutMs = 10_000 }: { signal: AbortSignal; timeoutMs?: number },
): Promise<ScannedHostKey[]> {
  const found: ScannedHostKey[] = [];
  for (const family of ALL_FAMILIES) {
    let seen: string | undefined;
    try {
      await handshake(
        { host, port, readyTimeoutMs: timeoutMs, algorithms: offer([family]), auth: undefined },
        (keyBlob) => {
          seen = fingerprint(keyBlob);
          return false;
        },
        signal,
      );
    } catch (error) {
      // Refusing the key is how a scan ends; a server without a key of this family has no common algorithm with us.
      const code = sshErrorCode(error);
      if (code !== 'HOST_KEY_MISMATCH' && code !== 'NO_COMMON_ALGORITHM') throw error;
    }
    if (seen !== undefined) found.push({ family, fingerprint: seen });
  }
  return found;
}
