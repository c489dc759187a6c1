/**
 * Every call below /v1 needs a login, and a role that the table of routes asks for. Both are looked at before the body is
 * read, so that a stranger costs nothing.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../access/authenticator.ts';
import { type Principal, roleIncludes } from '../access/principal.ts';
import { errorCode, LmasError } from '../errors.ts';
import { isRedisAway } from '../redis/away.ts';
import type { Limits } from './limits.ts';
import { RETRY_LATER } from './problems.ts';
import { ROUTE_ACCESS, type RouteAccess } from './route-access.ts';

/** A token with all groups of a person is long. Node takes 16 KiB of headers; what a browser and proxies send besides has to fit in, too. */
const LONGEST_LOGIN = 14 * 1024;

export interface Access {
  readonly limits: Limits;
  readonly authenticator: Authenticator;
  /** Why no call can be answered now, in words. */
  outage(): string | undefined;
}

interface Hookable {
  addHook: FastifyInstance['addHook'];
}

const callers = new WeakMap<object, Principal>();

const SEND = { remedy: 'Send `Authorization: Bearer <API key or token>`.' };
/** Nothing came that could be a login. */
export const nothingSent = (): LmasError =>
  new LmasError('UNAUTHENTICATED', 'No key or token was sent, or not as a bearer.', SEND);
const tooLong = ({ length }: string): LmasError =>
  new LmasError('UNAUTHENTICATED', `The key or token is too long: ${length} characters, at most ${LONGEST_LOGIN}.`, {
    remedy: 'Have the identity provider put roles into its tokens, and not all groups.',
  });
/** How long a stream goes on before it is asked again whether its reader is still welcome. */
const RECHECK_MS = 10_000;
const rechecks = new WeakMap<object, () => Promise<void>>();

/** Who sent this request; undefined for a stranger. */
export const findCaller = (request: object): Principal | undefined => callers.get(request);

/** Who sent this request. Only for routes that need a login. */
export function callerOf(request: object): Principal {
  const caller = callers.get(request);
  if (caller === undefined) throw new LmasError('INTERNAL', 'This route has no caller: it asks for no login.');
  return caller;
}

export function operationOf(request: Pick<FastifyRequest, 'routeOptions'>): string | undefined {
  const schema: { operationId?: string } | undefined = request.routeOptions.schema;
  return schema?.operationId;
}

/** Guards all routes that are registered with `api` after this. @throws Error for a route without a line in the table */
export function guardRoutes(api: Hookable, access: Access): void {
  api.addHook('onRoute', ({ schema, url }) => {
    const operation = (schema as { operationId?: string } | undefined)?.operationId;
    const entry = operation === undefined ? undefined : ROUTE_ACCESS[operation];
    if (entry === undefined || entry === 'open') {
      throw new Error(`${url}: operation ${operation} has no line in http/route-access.ts that asks for a role.`);
    }
  });
  api.addHook('onRequest', async (request, reply) => {
    // What is answered is somebody's, and sometimes a secret that is shown once: nothing for a cache on the way.
    reply.header('cache-control', 'no-store');
    // Without Redis nothing can be looked up: better said at once than waited for.
    const outage = access.outage();
    if (outage !== undefined) throw new LmasError('UNAVAILABLE', outage, { remedy: RETRY_LATER });
    const login = loginOf(request);
    if (login === undefined) return await refuseStranger(request, reply, access, nothingSent());
    if (login.length > LONGEST_LOGIN) return await refuseStranger(request, reply, access, tooLong(login));
    const caller = await access.authenticator.authenticate(login).catch((error: unknown) => {
      if (isRedisAway(error)) throw error; // who that was cannot be told
      return refuseStranger(request, reply, access, error);
    });
    callers.set(request, caller);
    await access.limits.countCall(request, reply, caller);
    authorise(caller, operationOf(request));
    rechecks.set(request, async () => {
      authorise(await access.authenticator.authenticate(login), operationOf(request));
    });
  });
}

/** Passes a long answer on for as long as whoever asked for it may have it: a revoked key ends its streams, too. */
export async function* whileWelcome(
  request: object,
  text: AsyncGenerator<string>,
  { recheckMs = RECHECK_MS } = {},
): AsyncGenerator<string> {
  let checkedAt = performance.now();
  for await (const chunk of text) {
    if (performance.now() - checkedAt > recheckMs) {
      try {
        await rechecks.get(request)?.();
      } catch (error) {
        // While Redis is away nothing is shown either. Else the reader learns why when it comes back.
        if (!isRedisAway(error)) return;
      }
      checkedAt = performance.now();
    }
    yield chunk;
  }
}

/** What was sent as a bearer; undefined when nothing was. */
export function loginOf({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const [scheme, login, ...rest] = (headers.authorization ?? '').split(' ');
  const isGiven = scheme?.toLowerCase() === 'bearer' && login !== undefined && login !== '' && rest.length === 0;
  return isGiven ? login : undefined;
}

/** Also whoever has a good token that grants nothing, or whose token cannot be looked at now: nobody is known who could be counted else. */
async function refuseStranger(
  request: FastifyRequest,
  reply: FastifyReply,
  { limits }: Access,
  reason: unknown,
): Promise<never> {
  await limits.countFailedLogin(request, reply);
  if (errorCode(reason) === 'UNAUTHENTICATED') reply.header('www-authenticate', 'Bearer realm="lmas"');
  throw reason;
}

/** @throws LmasError FORBIDDEN saying what is missing */
export function authorise(caller: Principal, operation = ''): void {
  const { role, wholeInstallation } = ROUTE_ACCESS[operation] as RouteAccess; // onRoute has seen to it
  if (!roleIncludes(caller.role, role)) {
    throw new LmasError('FORBIDDEN', `This needs the role ${role}; yours is ${caller.role}.`);
  }
  if (wholeInstallation && caller.project !== null) {
    throw new LmasError('FORBIDDEN', 'This touches what all projects share; your login is bound to one project.');
  }
  if (caller.operations !== null && !caller.operations.includes(operation)) {
    throw new LmasError('FORBIDDEN', `Your API key may not call ${operation}.`);
  }
}
