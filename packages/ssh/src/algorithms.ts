/**
 * What we offer a server: modern algorithms only. No SHA-1, no CBC, no DSA, no `ssh-rsa` signatures, no compression.
 * Everything OpenSSH has shipped since 6.7 (2014) finds a match here.
 */
import type { Algorithms, ServerHostKeyAlgorithm } from 'ssh2';

/** Host keys by family: a server shows one key, of the first family that both sides know. */
export const HOST_KEY_FAMILIES = {
  ed25519: ['ssh-ed25519'],
  ecdsa: ['ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521'],
  rsa: ['rsa-sha2-512', 'rsa-sha2-256'],
} as const satisfies Record<string, readonly ServerHostKeyAlgorithm[]>;

export type HostKeyFamily = keyof typeof HOST_KEY_FAMILIES;

export const ALL_FAMILIES: readonly HostKeyFamily[] = ['ed25519', 'ecdsa', 'rsa'];

/** The offer for a connection that accepts host keys of `families`, in that order of preference. */
export function offer(families: readonly HostKeyFamily[]): Algorithms {
  return {
    kex: [
      'curve25519-sha256',
      'curve25519-sha256@libssh.org',
      'ecdh-sha2-nistp256',
      'ecdh-sha2-nistp384',
      'ecdh-sha2-nistp521',
      'diffie-hellman-group16-sha512',
      'diffie-hellman-group18-sha512',
      'diffie-hellman-group14-sha256',
    ],
    serverHostKey: families.flatMap((family) => [...HOST_KEY_FAMILIES[family]]),
    cipher: ['aes128-gcm@openssh.com', 'aes256-gcm@openssh.com', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr'],
    hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
    compress: ['none'],
  };
}
