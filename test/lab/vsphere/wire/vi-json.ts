/**
 * VI/JSON, from 8.0.1.0 on: `GET /sdk/vim25/{release}/{type}/{id}/{property}`, `POST …/{method}` with the parameters as a JSON object.
 * Every object says its type in `_typeName`; where anything may stand, primitives and arrays are boxed with `_value`. The session is in the
 * header `vmware-api-session-id`.
 */
import { NoAnswer, type VsphereEndpoint } from '../endpoint.ts';
import { VimFault } from '../fault.ts';
import { isAtLeast } from '../schema/release.ts';
import { isObject, type MoRef, moRef, type Value } from '../schema/value.ts';
import { notAuthenticated } from '../sessions.ts';
import type { Request, Response } from './server.ts';

const SESSION_HEADER = 'vmware-api-session-id';
const RELEASES = ['8.0.1.0', '8.0.2.0', '8.0.3.0', '9.0.0.0'];

const json = (status: number, value: unknown, headers: Readonly<Record<string, string>> = {}): Response => ({
  ...{ status, type: 'application/json', headers, body: JSON.stringify(value) },
});

/** The newest release that both know; 8.0.2.0 brought it. */
export function answerHello(endpoint: VsphereEndpoint, { url, body }: Request): Response {
  if (url.searchParams.get('action') !== 'hello' || !isAtLeast(endpoint.apiVersion, '8.0.2.0')) return { status: 404 };
  const { api_releases: wanted = [] } = JSON.parse(body) as { api_releases?: string[] };
  const known = wanted.find((release) => offered(endpoint).includes(release));
  return json(200, { api_release: known ?? '' });
}

const offered = ({ apiVersion }: VsphereEndpoint): string[] =>
  RELEASES.filter((release) => isAtLeast(apiVersion, release));

export async function answerViJson(endpoint: VsphereEndpoint, request: Request): Promise<Response> {
  const [release = '', type = '', id = '', member = ''] = request.url.pathname
    .slice('/sdk/vim25/'.length)
    .split('/')
    .map(decodeURIComponent);
  if (!offered(endpoint).includes(release) || member === '') return { status: 404 };
  try {
    const target = moRef(type, id);
    return request.method === 'GET'
      ? propertyOf(endpoint, request, target, member)
      : await call(endpoint, request, target, member);
  } catch (error) {
    if (error instanceof NoAnswer) throw error;
    const fault =
      error instanceof VimFault ? error : new VimFault('SystemError', { reason: String(error) }, String(error));
    if (fault !== error) endpoint.violations.push(`the endpoint itself failed: ${(error as Error).stack}`);
    return json(500, { ...endpoint.checkedFault(fault), faultstring: fault.message });
  }
}

function sessionOf(endpoint: VsphereEndpoint, { headers }: Request) {
  const id = headers[SESSION_HEADER];
  return endpoint.sessions.find(typeof id === 'string' ? id : undefined);
}

function propertyOf(endpoint: VsphereEndpoint, request: Request, target: MoRef, property: string): Response {
  const open = target.type === 'ServiceInstance' && property === 'content';
  if (!open && sessionOf(endpoint, request) === undefined) throw notAuthenticated(target);
  if (endpoint.schema.properties(target.type)?.has(property) !== true) return { status: 404 };
  const value = endpoint.objects.get(target, property);
  return value === undefined ? { status: endpoint.dialect.unsetProperty } : json(200, value);
}

async function call(endpoint: VsphereEndpoint, request: Request, target: MoRef, method: string): Promise<Response> {
  if (request.method !== 'POST') return { status: 405, headers: { allow: 'GET, POST' } };
  const parameters = parametersIn(endpoint, request);
  const options = { session: sessionOf(endpoint, request), signal: request.signal, json: true };
  const { result, session } = await endpoint.call(method, target, parameters, options);
  const headers = session === undefined ? {} : { [SESSION_HEADER]: session.id };
  return result === undefined ? { status: 204, headers } : json(200, result, headers);
}

/** @throws VimFault InvalidRequest */
function parametersIn(endpoint: VsphereEndpoint, { body, headers }: Request): Readonly<Record<string, Value>> {
  if (body === '') return {};
  const problems: string[] = [];
  if (!/^application\/json\b/.test(headers['content-type'] ?? ''))
    problems.push(`content-type ${headers['content-type']} is not application/json`);
  let value: Value | undefined;
  try {
    value = JSON.parse(body) as Value;
  } catch {
    problems.push('a body that is no JSON');
  }
  if (value !== undefined && !isObject(value)) problems.push('a body that is no object');
  endpoint.refuse(problems);
  return (value ?? {}) as Readonly<Record<string, Value>>;
}
