/**
 * HTTPS connections that know who is at the other end before the first byte of a request leaves: by pinned fingerprint, or
 * by a certificate that a trusted CA signed for that name. There is no way to switch this off.
 */
import https from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type PeerCertificate, type TLSSocket } from 'node:tls';
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
    const host = options.host ?? '';
    const fail = (error: Error): void =>
      callback?.(socket.authorizationError ? notVouchedFor(host, error) : error, socket);
    socket.once('error', fail);
    socket.once('close', () => clearTimeout(limit));
    socket.once('secureConnect', () => {
      clearTimeout(limit);
      socket.off('error', fail);
      const seen = socket.getPeerX509Certificate()?.fingerprint256;
      if (pinned && (seen === undefined || !fingerprints.includes(seen))) {
        const error = notTrusted(`${host} shows a certificate that is not pinned: ${seen}`, COMPARE);
        socket.destroy();
        callback?.(error, socket);
        return;
      }
      callback?.(null, socket);
    });
    return undefined;
  }
}

const COMPARE =
  'Compare it with `openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem` on that host. If it is right, add it to tlsFingerprints of the endpoint; if not, somebody is in between.';

const notTrusted = (message: string, remedy: string): PluginError =>
  new PluginError('HOST_KEY_MISMATCH', message, { remedy });

/** Where nothing is pinned. @param error why Node does not believe the certificate */
function notVouchedFor(host: string, error: Error & { readonly code?: string; readonly cert?: PeerCertificate }) {
  if (error.code !== 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const message = `${host} shows a certificate that no trusted CA vouches for (${error.message})`;
    return notTrusted(message, `Give the CA that signed it as caCertificate. If none did: ${COMPARE}`);
  }
  const names = error.cert?.subjectaltname ?? 'no name at all';
  const message = `${host} shows a certificate that is not for ${host}, but for ${names}`;
  if (isIP(host) === 0) return notTrusted(message, 'Name the member as its certificate does, or pin the certificate.');
  // XAPI tells who is coordinator by an address alone.
  return notTrusted(
    message,
    'XAPI tells members by their addresses. Have this one in the certificate (subjectAltName=IP), or name the member by its name in host or otherMembers of the endpoint, or pin its certificate in tlsFingerprints.',
  );
}
