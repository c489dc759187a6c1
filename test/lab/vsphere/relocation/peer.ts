/**
 * The other vCenter, as a ServiceLocator names it. Its certificate is compared before anything is said; then it is asked as the user
 * whose password the locator has. How two real vCenters talk is not published, so between two endpoints of the lab it is two requests
 * of their own: `POST /lab/arrivals` and what follows it.
 */
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import type { Dialect } from '../endpoint.ts';
import { VimFault } from '../fault.ts';
import { type DataObject, textOf, type Value } from '../schema/value.ts';
import type { Arrival, ArrivalRequest } from './arrivals.ts';

export type PeerRequest = Omit<ArrivalRequest, 'vm'> & {
  readonly username: string;
  readonly password: string;
  readonly instanceUuid: string;
};

const ANSWERS_WITHIN_MS = 10_000;

export class Peer {
  readonly #url: URL;
  readonly #credential: { readonly username: string; readonly password: string };
  readonly #instanceUuid: string;

  private constructor(url: URL, credential: { username: string; password: string }, instanceUuid: string) {
    this.#url = url;
    this.#credential = credential;
    this.#instanceUuid = instanceUuid;
  }

  /** @throws VimFault SSLVerifyFault with the thumbprint that was seen, HostConnectFault, NotSupported */
  static async connect(locator: DataObject, thumbprintCase: Dialect['thumbprintCase']): Promise<Peer> {
    const url = new URL(String(locator.url));
    const credential = locator.credential as DataObject;
    if (credential._typeName !== 'ServiceLocatorNamePassword')
      throw new VimFault('NotSupported', {}, 'the lab has no token service');
    const thumbprint = textOf(locator.sslThumbprint);
    const compared = thumbprintCase === 'any' ? thumbprint?.toUpperCase() : thumbprint;
    await assertIsPeer(url, compared, textOf(locator.sslCertificate));
    const { username, password } = credential;
    return new Peer(url, { username: String(username), password: String(password) }, String(locator.instanceUuid));
  }

  prepare(arrival: Omit<ArrivalRequest, 'vm'>): Promise<Arrival> {
    const body: PeerRequest = { ...arrival, ...this.#credential, instanceUuid: this.#instanceUuid };
    return this.#post('/lab/arrivals', body) as Promise<Arrival>;
  }

  /** What would keep the VM from being there, without any effect. */
  async check(arrival: Omit<ArrivalRequest, 'vm'>): Promise<void> {
    await this.#post('/lab/arrivals/check', { ...arrival, ...this.#credential, instanceUuid: this.#instanceUuid });
  }

  async arrived(move: string): Promise<void> {
    await this.#post('/lab/arrivals/arrived', { move, ...this.#credential });
  }

  async forget(move: string): Promise<void> {
    await this.#post('/lab/arrivals/forget', { move, ...this.#credential });
  }

  async isThere(move: string): Promise<boolean> {
    return (await this.#post('/lab/arrivals/is-there', { move, ...this.#credential })) === true;
  }

  async #post(path: string, body: object): Promise<unknown> {
    const answer = await new Promise<{ status: number; body: string }>((resolve, reject) => {
      // The certificate was compared by `connect`.
      const options = { method: 'POST', rejectUnauthorized: false, timeout: ANSWERS_WITHIN_MS, agent: false };
      const call = request(new URL(path, this.#url), options, (response) => {
        text(response).then((said) => resolve({ status: response.statusCode ?? 0, body: said }), reject);
      });
      call.once('timeout', () => call.destroy(new Error('no answer')));
      call.once('error', reject);
      call.end(JSON.stringify(body));
    }).catch((error: Error) => {
      throw new VimFault('HostConnectFault', {}, `${this.#url.host}: ${error.message}`);
    });
    if (answer.status === 200) return JSON.parse(answer.body);
    const { name, fields, message } = JSON.parse(answer.body) as { name: string; fields: DataObject; message: string };
    throw new VimFault(name, fields, message);
  }
}

async function assertIsPeer(url: URL, thumbprint: string | undefined, certificate: string | undefined): Promise<void> {
  const seen = await certificateOf(url);
  const own = certificate === undefined ? undefined : new X509Certificate(certificate).fingerprint;
  if (own !== undefined && thumbprint !== undefined && own !== thumbprint.toUpperCase()) {
    throw new VimFault('InvalidArgument', { invalidProperty: 'sslThumbprint' }, 'It is of another certificate.');
  }
  const accepted =
    certificate !== undefined
      ? new X509Certificate(certificate).fingerprint256 === seen.fingerprint256
      : thumbprint === seen.fingerprint;
  if (!accepted) {
    const selfSigned = seen.issuerCertificate?.fingerprint === seen.fingerprint;
    throw new VimFault(
      'SSLVerifyFault',
      { selfSigned, thumbprint: seen.fingerprint },
      'The remote host certificate was not verified',
    );
  }
}

function certificateOf(url: URL): Promise<DetailedPeerCertificate> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(new VimFault('HostConnectFault', {}, `${url.host}: ${error.message}`));
    };
    const options = { host: url.hostname, port: Number(url.port || 443), rejectUnauthorized: false };
    const socket = connect(options, () => {
      resolve(socket.getPeerCertificate(true));
      socket.end();
    });
    socket.setTimeout(ANSWERS_WITHIN_MS, () => socket.destroy(new Error('no answer')));
    socket.once('error', fail);
  });
}

/** What a peer answers with when it refuses. */
export const refusalOf = (error: unknown): { name: string; fields: Value; message: string } =>
  error instanceof VimFault
    ? { name: error.faultName, fields: error.fields, message: error.message }
    : { name: 'SystemError', fields: { reason: String(error) }, message: String(error) };
