/**
 * HTTPS to one vCenter that knows who is at the other end before the first byte of a request leaves: by pinned SHA-256
 * fingerprint, or by a certificate that a trusted CA signed for that name. There is no way to switch this off. Knows nothing of
 * sessions. What is not answered is a VimSilence, and says whether the request may have had an effect. Owns its connections.
 */
import type { X509Certificate } from 'node:crypto';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { PluginError } from '@lmas/plugin-api';
import { VimSilence } from '../errors.ts';

/** An inventory comes in pages; one page of hosts with all of their adapters stays far below. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface Trust {
  /** SHA-256, upper case, colons; empty: a CA has to vouch. */
  readonly fingerprints: readonly string[];
  /** PEM; default: the system's. */
  readonly ca?: string | undefined;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What the other end has shown, and was believed. */
export interface SeenCertificate {
  /** SHA-1, as vSphere's `sslThumbprint` wants it: upper case, colons. */
  readonly thumbprint: string;
  readonly pem: string;
}

export class HttpsChannel {
  readonly #host: string;
  readonly #port: number;
  readonly #agent: PinningAgent;

  constructor(host: string, port: number, trust: Trust) {
    this.#host = host;
    this.#port = port;
    this.#agent = new PinningAgent(trust);
  }

  get host(): string {
    return this.#host;
  }

  /** Of the connection made last; there is one as soon as anything was answered. */
  get certificate(): SeenCertificate | undefined {
    return this.#agent.seen;
  }

  /** @throws VimSilence, PluginError HOST_KEY_MISMATCH, the signal's reason when that came first */
  async send(
    request: HttpRequest,
    { signal, timeoutMs }: { signal: AbortSignal; timeoutMs: number },
  ): Promise<HttpAnswer> {
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      return await this.#exchange(request, AbortSignal.any([signal, deadline]));
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.aborted) throw new VimSilence('timeout', `${this.#host} did not answer in ${timeoutMs} ms`);
      throw error;
    }
  }

  #exchange({ method, path, headers, body }: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      let connected = false;
      const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) };
      const options = { host: this.#host, port: this.#port, agent: this.#agent, method, path, signal };
      const request = https.request({ ...options, headers: { ...headers, ...length } });
      request.once('socket', () => {
        connected = true; // it was verified before it was given to the request
      });
      request.once('error', (error) => reject(this.#silence(error, connected)));
      request.once('response', (response: IncomingMessage) => {
        readBody(response).then(
          (text) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
          (error: Error) => reject(this.#silence(error, true)),
        );
      });
      request.end(body);
    });
  }

  /** A connection that was never there cannot have carried the request; of any other nobody knows. */
  #silence(error: Error, connected: boolean): Error {
    if (error instanceof PluginError) return error;
    const kind = connected ? 'lost' : 'unreachable';
    if (!connected && speaksNoTls(error)) {
      const message = `${this.#host} port ${this.#port} does not speak TLS, so no vCenter answers there`;
      return new VimSilence(kind, message, { cause: error, remedy: OTHER_PORT });
    }
    return new VimSilence(kind, `${this.#host}: ${error.message}`, { cause: error });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Keeps connections alive: a login is a few connections, not one for each call. */
class PinningAgent extends https.Agent {
  readonly #trust: Trust;
  seen: SeenCertificate | undefined;

  constructor(trust: Trust) {
    // Waiting for updates holds one; another one has to be free for what happens meanwhile.
    super({ keepAlive: true, maxSockets: 8 });
    this.#trust = trust;
  }

  override createConnection(
    options: ConnectionOptions,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): Duplex | null | undefined {
    const { fingerprints, ca } = this.#trust;
    const socket: TLSSocket = connect({
      ...options,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: false, // it is looked at below, where what was shown can be told
      ...(ca === undefined ? {} : { ca }),
    });
    const fail = (error: Error): void => callback?.(error, socket);
    socket.once('error', fail);
    socket.once('secureConnect', () => {
      socket.off('error', fail);
      const certificate = socket.getPeerX509Certificate();
      const reason = whyNotTrusted(socket, certificate, fingerprints);
      if (reason !== undefined || certificate === undefined) {
        socket.destroy();
        callback?.(
          notTrusted(options.host ?? '', certificate?.fingerprint256, reason ?? 'shows no certificate'),
          socket,
        );
        return;
      }
      this.seen = { thumbprint: certificate.fingerprint, pem: certificate.toString() };
      callback?.(null, socket);
    });
    return undefined;
  }
}

const OTHER_PORT =
  'Give the endpoint the `port` at which the vCenter takes HTTPS: 443, unless it was set up otherwise.';

/** What OpenSSL makes of a greeting of SSH, of an answer in plain HTTP, of anything else. */
const NO_TLS: ReadonlySet<unknown> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_DATA_LENGTH_TOO_LONG',
]);
const speaksNoTls = (error: Error): boolean => 'code' in error && NO_TLS.has(error.code);

/** In words. What is pinned needs no CA, and where something is pinned no CA counts. */
function whyNotTrusted(
  { authorized, authorizationError }: TLSSocket,
  certificate: X509Certificate | undefined,
  fingerprints: readonly string[],
): string | undefined {
  if (fingerprints.length === 0) {
    return authorized ? undefined : `shows a certificate that no trusted CA vouches for (${authorizationError})`;
  }
  const isPinned = certificate !== undefined && fingerprints.includes(certificate.fingerprint256);
  return isPinned ? undefined : 'shows a certificate that is not pinned';
}

const notTrusted = (host: string, seen: string | undefined, reason: string): PluginError =>
  new PluginError('HOST_KEY_MISMATCH', `${host} ${reason}: ${seen ?? 'none'}`, {
    remedy:
      'Compare it with what `openssl x509 -noout -fingerprint -sha256 -in /etc/vmware-vpx/ssl/rui.crt` says on the vCenter itself. If it is right, add it to tlsFingerprints of the endpoint, or give the CA that signed it as caCertificate; if not, somebody is in between.',
  });
