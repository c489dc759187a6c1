/** Requests to an endpoint as they go over the wire, for its own tests: nothing is typed, nothing is hidden, and nothing is of the plugin. */
import { request as plainRequest } from 'node:http';
import { request as tlsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { type DataObject, type MoRef, moRef } from './schema/value.ts';
import { VCENTER_LOGIN } from './two-vcenters.ts';
import type { ServerCertificate } from './wire/certificate.ts';

/** Where an endpoint answers. */
export interface Answers {
  readonly address: string;
  readonly port: number;
  /** `undefined` for HTTP without TLS. */
  readonly certificate: Pick<ServerCertificate, 'cert'> | 'unverified' | undefined;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

interface SendOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  /** Hangs up. */
  readonly signal?: AbortSignal;
}

export function send(
  vcenter: Answers,
  method: string,
  path: string,
  { headers = {}, body, signal }: SendOptions = {},
): Promise<RawAnswer> {
  const { certificate } = vcenter;
  const request = certificate === undefined ? plainRequest : tlsRequest;
  const trust = certificate === 'unverified' ? { rejectUnauthorized: false } : { ca: certificate?.cert };
  // A connection that was kept may be one that the other end has given up.
  const options = {
    agent: false,
    method,
    headers,
    host: vcenter.address,
    port: vcenter.port,
    path,
    ...trust,
    ...(signal && { signal }),
  };
  return new Promise((resolve, reject) => {
    const call = request(options, (response) => {
      const { statusCode: status = 0, headers: answered } = response;
      text(response).then((said) => resolve({ status, headers: answered, body: said }), reject);
    });
    call.once('error', reject);
    call.end(body);
  });
}

/** What is at that path: `info.state`, `0.errors.0._typeName`. */
export function dig(value: unknown, path: string): unknown {
  return path.split('.').reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], value);
}

/** A fault that an endpoint answered with. */
export class AnsweredFault extends Error {
  readonly fault: Readonly<Record<string, unknown>>;

  constructor(fault: Readonly<Record<string, unknown>>) {
    super(`${fault._typeName}: ${fault.faultstring}`);
    this.name = String(fault._typeName);
    this.fault = fault;
  }
}

/** VI/JSON, with a session. */
export class RawViJson {
  readonly #vcenter: Answers;
  readonly release: string;
  #session: string | undefined;

  constructor(vcenter: Answers, release = '8.0.2.0') {
    this.#vcenter = vcenter;
    this.release = release;
  }

  static async logIn(vcenter: Answers): Promise<RawViJson> {
    const client = new RawViJson(vcenter);
    const { username: userName, password } = VCENTER_LOGIN;
    await client.call(moRef('SessionManager', 'SessionManager'), 'Login', { userName, password });
    return client;
  }

  get session(): string | undefined {
    return this.#session;
  }

  get(ref: MoRef, property: string): Promise<unknown> {
    return this.#send('GET', ref, property, undefined);
  }

  /** @throws AnsweredFault */
  call(ref: MoRef, method: string, parameters: object = {}): Promise<unknown> {
    return this.#send('POST', ref, method, JSON.stringify(parameters));
  }

  /** The task's last `info`, when it is over. */
  async ended(task: unknown): Promise<DataObject> {
    const collector = moRef('PropertyCollector', 'propertyCollector');
    const spec = {
      _typeName: 'PropertyFilterSpec',
      propSet: [{ _typeName: 'PropertySpec', type: 'Task', pathSet: ['info.state'] }],
      objectSet: [{ _typeName: 'ObjectSpec', obj: task }],
    };
    const filter = (await this.call(collector, 'CreateFilter', { spec, partialUpdates: false })) as MoRef;
    let version: unknown;
    for (;;) {
      const update = await this.call(collector, 'WaitForUpdatesEx', version === undefined ? {} : { version });
      version = dig(update, 'version');
      const info = (await this.get(task as MoRef, 'info')) as DataObject;
      if (info.state !== 'success' && info.state !== 'error') continue;
      await this.call(filter, 'DestroyPropertyFilter');
      return info;
    }
  }

  async #send(method: string, { type, value }: MoRef, member: string, body: string | undefined): Promise<unknown> {
    const headers = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(this.#session === undefined ? {} : { 'vmware-api-session-id': this.#session }),
    };
    const path = `/sdk/vim25/${this.release}/${type}/${encodeURIComponent(value)}/${member}`;
    const answer = await send(this.#vcenter, method, path, { headers, body });
    const session = answer.headers['vmware-api-session-id'];
    if (typeof session === 'string') this.#session = session;
    if (answer.status === 204) return undefined;
    if (answer.status === 200) return JSON.parse(answer.body);
    if (answer.status === 500) throw new AnsweredFault(JSON.parse(answer.body) as Record<string, unknown>);
    throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
  }
}

/** SOAP: the envelope around a call. */
export function sendSoap(
  vcenter: Answers,
  call: string,
  cookie?: string,
  { signal }: Pick<SendOptions, 'signal'> = {},
): Promise<RawAnswer> {
  const envelope = `<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body>${call}</e:Body></e:Envelope>`;
  const headers = {
    ...{ 'content-type': 'text/xml; charset="utf-8"', soapaction: 'urn:vim25/7.0' },
    ...(cookie === undefined ? {} : { cookie }),
  };
  return send(vcenter, 'POST', '/sdk', { headers, body: envelope, ...(signal && { signal }) });
}
