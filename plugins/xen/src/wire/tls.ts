/**
 * HTTPS connections that know who is at the other end before the first byte of a request leaves: by pinned fingerprint, or
 * by a certificate that a trusted CA signed for that name. There is no way to switch this off.
 */
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { PluginError } from '@lmas/plugin-api';

export interface Trust {
  /** SHA-256, upper case, colons; empty: a CA has to vouch. */
  readonly fingerprints: readonly string[];
  /** PEM; default: the system's. */
  readonly ca?: string | undefined;
}

/** A host that is dead says nothing: no request waits for it longer than a healthy one needs over any link. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Keeps connections alive: a login is one connection, not one for each call. */
export class PinningAgent extends https.Agent {
  readonly #trust: Trust;

  constructor(trust: Trust) {
    super({ keepAlive: true, maxSockets: 4 });
    this.#trust = trust;
  }

  override createConnection(
    options: ConnectionOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const { fingerprints, ca } = this.#trust;
    const pinned = fingerprints.length > 0;
    const socket: TLSSocket = connect({
      ...options,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: !pinned,
      ...(ca === undefined ? {} : { ca }),
    });
    const limit = setTimeout(() => {
      socket.destroy(new Error(`no TLS connection in ${CONNECT_TIMEOUT_MS} ms`));
    }, CONNECT_TIMEOUT_MS);
    const fail = (error: Error): void => callback?.(error, socket);
    socket.once('error', fail);
    socket.once('close', () => clearTimeout(limit));
    socket.once('secureConnect', () => {
      clearTimeout(limit);
      socket.off('error', fail);
      const seen = socket.getPeerX509Certificate()?.fingerprint256;
      if (pinned && (seen === undefined || !fingerprints.includes(seen))) {
        const error = new PluginError(
          'HOST_KEY_MISMATCH',
          `${options.host} shows a certificate that is not pinned: ${seen}`,
          {
            remedy:
              'Compare it with `openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem` on that host. If it is right, add it to tlsFingerprints of the endpoint; if not, somebody is in between.',
          },
        );
        socket.destroy();
        callback?.(error, socket);
        return;
      }
      callback?.(null, socket);
    });
    return undefined;
  }
}
