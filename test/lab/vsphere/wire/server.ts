/**
 * The endpoint on the wire: SOAP on `POST /sdk`, VI/JSON on `/sdk/vim25/{release}/…`, and the requests of the other vCenter of the lab.
 * Both forms end in the same call of the endpoint.
 */
import { createServer as createPlainServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { ClientGone, NoAnswer, type VsphereEndpoint } from '../endpoint.ts';
import { VimFault } from '../fault.ts';
import { type PeerRequest, refusalOf } from '../relocation/peer.ts';
import type { ServerCertificate } from './certificate.ts';
import { answerSoap } from './soap.ts';
import { answerHello, answerViJson } from './vi-json.ts';

export interface Request {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** Aborted with `ClientGone` when the client hangs up. */
  readonly signal: AbortSignal;
}

export interface Response {
  readonly status: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Listening {
  readonly port: number;
  close(): Promise<void>;
}

export async function serve(
  endpoint: VsphereEndpoint,
  { host, port, certificate }: { host: string; port: number; certificate: ServerCertificate | undefined },
): Promise<Listening> {
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    void respond(endpoint, request, response);
  };
  const server: Server =
    certificate === undefined
      ? createPlainServer(handle)
      : createTlsServer({ key: certificate.key, cert: certificate.cert, minVersion: 'TLSv1.2' }, handle);
  server.keepAliveTimeout = 30_000;
  // Also those that have not finished their handshake: `closeAllConnections` knows nothing of them, and `close` waits for them.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

async function respond(endpoint: VsphereEndpoint, incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new ClientGone()));
  response.on('error', () => undefined);
  try {
    const request: Request = {
      ...{
        method: incoming.method ?? 'GET',
        url: new URL(incoming.url ?? '/', 'http://host'),
        headers: incoming.headers,
      },
      ...{ body: await text(incoming), signal: gone.signal },
    };
    const { status, type = 'text/plain', headers = {}, body = '' } = await answerTo(endpoint, request);
    response.writeHead(status, { ...(body === '' ? {} : { 'content-type': type }), ...headers });
    response.end(body);
  } catch (error) {
    if (!(error instanceof NoAnswer)) {
      response.writeHead(500).end(String(error));
      return;
    }
    const { effect } = error;
    if (effect.kind === 'drop') incoming.socket.destroy();
    if (effect.kind === 'http')
      response.writeHead(effect.status, { 'content-type': 'text/html' }).end(effect.body ?? '');
  }
}

async function answerTo(endpoint: VsphereEndpoint, request: Request): Promise<Response> {
  const { method, url } = request;
  if (url.pathname === '/sdk' || url.pathname === '/sdk/') return answerSoap(endpoint, request);
  if (url.pathname === '/sdk/vimServiceVersions.xml')
    return { status: 200, type: 'text/xml', body: versionsOf(endpoint) };
  if (url.pathname.startsWith('/lab/arrivals')) return answerPeer(endpoint, request);
  if (endpoint.offersViJson && method === 'POST' && url.pathname === '/api/vcenter/system')
    return answerHello(endpoint, request);
  if (endpoint.offersViJson && url.pathname.startsWith('/sdk/vim25/')) return answerViJson(endpoint, request);
  return { status: 404, body: 'Not found' };
}

function versionsOf({ apiVersion }: VsphereEndpoint): string {
  const prior = ['8.0.2.0', '8.0.1.0', '8.0.0.0', '7.0', '6.7', '6.5', '6.0'].filter((version) => version < apiVersion);
  const versions = prior.map((version) => `<version>${version}</version>`).join('');
  return [
    '<?xml version="1.0" encoding="UTF-8"?><namespaces version="1.0"><namespace><name>urn:vim25</name>',
    `<version>${apiVersion}</version><priorVersions>${versions}</priorVersions></namespace></namespaces>`,
  ].join('');
}

/** Only who knows the password of this vCenter may send a VM to it. */
async function answerPeer(endpoint: VsphereEndpoint, { url, body }: Request): Promise<Response> {
  const json = (status: number, value: unknown): Response => ({
    ...{ status, type: 'application/json', body: JSON.stringify(value ?? null) },
  });
  try {
    const request = JSON.parse(body) as PeerRequest;
    const { login } = endpoint.spec;
    if (request.username !== login.username || request.password !== login.password)
      throw new VimFault('InvalidLogin', {}, 'Cannot complete login due to an incorrect user name or password.');
    return json(200, await peerCall(endpoint, url.pathname.slice('/lab/arrivals'.length), request));
  } catch (error) {
    return json(500, refusalOf(error));
  }
}

async function peerCall(endpoint: VsphereEndpoint, path: string, request: PeerRequest): Promise<unknown> {
  const { arrivals, objects } = endpoint;
  if (path === '' || path === '/check') {
    const [about] = objects.all('ServiceInstance').map(({ ref }) => objects.at(ref, 'content.about.instanceUuid'));
    if (request.instanceUuid !== about)
      throw new VimFault('InvalidArgument', { invalidProperty: 'spec.service.instanceUuid' });
  }
  const { move, guest, spec } = request;
  switch (path) {
    case '':
      return arrivals.prepare({ move, guest, spec, vm: undefined });
    case '/check':
      arrivals.resolve({ move, guest, spec, vm: undefined });
      return true;
    case '/arrived':
      return arrivals.arrived(move, undefined);
    case '/forget':
      return arrivals.forget(move);
    case '/is-there':
      return arrivals.isThere(move);
    default:
      throw new VimFault('NotSupported');
  }
}
