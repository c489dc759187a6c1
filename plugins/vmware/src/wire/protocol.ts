/**
 * One call to a vCenter, by either of its two doors: SOAP at `/sdk`, which all have, or VI/JSON. They differ in how a session is
 * shown (a cookie, a header) and in nothing that anybody above this file sees.
 */
import { VimFault, VimSilence } from '../errors.ts';
import type { MethodName, Parameters, Ref } from './data-objects.ts';
import type { HttpAnswer, HttpsChannel } from './https.ts';
import { decodeAnswer, encodeCall } from './soap.ts';
import { decodeFault, decodeValue, encodeParameters, pathOf } from './vi-json.ts';

export interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

export interface Called {
  readonly value: unknown;
  /** A session that the answer has begun, to be shown from now on. */
  readonly session: string | undefined;
}

export interface Protocol {
  readonly name: 'soap' | 'json';
  /**
   * @param session as an earlier answer gave it
   * @throws VimFault with the answer; VimSilence, after which a call with side effects may have had them
   */
  call<Method extends MethodName>(
    self: Ref,
    method: Method,
    params: Parameters<Method>,
    session: string | undefined,
    options: CallOptions,
  ): Promise<Called>;
}

const SESSION_COOKIE = 'vmware_soap_session';
const SESSION_HEADER = 'vmware-api-session-id';

/** @param version of the API that is spoken: `8.0.1.0` */
export function soapProtocol(channel: HttpsChannel, version: string): Protocol {
  return {
    name: 'soap',
    async call(self, method, params, session, options) {
      const headers = {
        'content-type': 'text/xml; charset="utf-8"',
        soapaction: `"urn:vim25/${version}"`,
        ...(session === undefined ? {} : { cookie: session }),
      };
      const body = encodeCall(self, method, params as Record<string, unknown>);
      const answer = await channel.send({ method: 'POST', path: '/sdk', headers, body }, options);
      const read = readSoap(channel, method, answer);
      if ('fault' in read) throw new VimFault(read.fault.name, read.fault.message, read.fault.detail);
      return { value: read.value, session: cookieOf(answer) };
    },
  };
}

function readSoap(channel: HttpsChannel, method: string, answer: HttpAnswer) {
  // A fault comes with 500; anything else is a web server's own answer.
  if (answer.status !== 200 && answer.status !== 500) throw strange(channel, method, answer);
  try {
    return decodeAnswer(answer.body);
  } catch (cause) {
    throw strange(channel, method, answer, cause);
  }
}

/** `name=value` of the session's cookie, without its attributes. */
function cookieOf({ headers }: HttpAnswer): string | undefined {
  const cookie = headers['set-cookie']?.find((each) => each.startsWith(`${SESSION_COOKIE}=`));
  return cookie?.split(';')[0];
}

/** @param release of the description that is spoken: `8.0.1.0` */
export function jsonProtocol(channel: HttpsChannel, release: string): Protocol {
  return {
    name: 'json',
    async call(self, method, params, session, options) {
      const body = encodeParameters(method, params as Record<string, unknown>);
      const headers = {
        accept: 'application/json',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(session === undefined ? {} : { [SESSION_HEADER]: session }),
      };
      const path = pathOf(release, self, method);
      const answer = await channel.send({ method: 'POST', path, headers, body }, options);
      const header = answer.headers[SESSION_HEADER];
      return { value: readJson(channel, method, answer), session: typeof header === 'string' ? header : undefined };
    },
  };
}

function readJson(channel: HttpsChannel, method: string, answer: HttpAnswer): unknown {
  if (answer.status === 204 || (answer.status === 200 && answer.body === '')) return undefined;
  let body: unknown;
  try {
    body = JSON.parse(answer.body);
  } catch (cause) {
    throw strange(channel, method, answer, cause);
  }
  if (answer.status === 200) return decodeValue(body);
  const fault = decodeFault(body);
  if (fault !== undefined) throw new VimFault(fault.name, fault.message, fault.detail);
  // The gateway before the service answers a session that it does not know in its own words.
  if (answer.status === 401) throw new VimFault('NotAuthenticated', 'The session is not authenticated.', undefined);
  throw strange(channel, method, answer);
}

/** A vCenter's own reverse proxy, while the service behind it restarts; the call may have reached it. */
const AWAY: ReadonlySet<number> = new Set([502, 503, 504]);

const strange = (
  { host }: HttpsChannel,
  method: string,
  { status, headers }: HttpAnswer,
  cause?: unknown,
): VimSilence =>
  new VimSilence(
    AWAY.has(status) ? 'lost' : 'not-vsphere',
    `${host} answered ${method} with HTTP ${status}, ${headers['content-type'] ?? 'no content type'}`,
    { cause },
  );

/**
 * Whether the vCenter speaks VI/JSON of that release: asked where no login is needed. Whoever does not knows no such page.
 * @throws VimSilence when nobody answers at all
 */
export async function speaksJson(channel: HttpsChannel, release: string, options: CallOptions): Promise<boolean> {
  const path = pathOf(release, SERVICE_INSTANCE, 'content');
  const { status, body } = await channel.send(
    { method: 'GET', path, headers: { accept: 'application/json' } },
    options,
  );
  if (status !== 200) return false;
  try {
    const content: unknown = JSON.parse(body);
    return typeof content === 'object' && content !== null && 'about' in content;
  } catch {
    return false;
  }
}

/** Where everything begins. */
export const SERVICE_INSTANCE: Ref = { type: 'ServiceInstance', value: 'ServiceInstance' };

/** The versions that a server says it knows of `urn:vim25`; none when it does not say. */
export async function offeredVersions(channel: HttpsChannel, options: CallOptions): Promise<string[]> {
  const { status, body } = await channel.send(
    { method: 'GET', path: '/sdk/vimServiceVersions.xml', headers: {} },
    options,
  );
  if (status !== 200) return [];
  const namespace = /<namespace>\s*<name>urn:vim25<\/name>([\s\S]*?)<\/namespace>/.exec(body)?.[1] ?? '';
  return [...namespace.matchAll(/<version>\s*([\d.]+)\s*<\/version>/g)].flatMap((match) => match[1] ?? []);
}
