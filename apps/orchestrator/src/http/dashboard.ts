/**
 * The web page: static files below /ui/, open to everybody, since what they show they ask the API for with the reader's
 * own login. The page may run its own scripts and speak to this server and the identity provider; to nobody else.
 */
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { LmasError } from '../errors.ts';

/** How the page, as a public client of the identity provider, logs people in. */
export interface PageLogin {
  readonly issuer: string;
  readonly clientId: string;
  readonly scope: string;
  /** Origins beside the issuer's that its endpoints are at. */
  readonly origins: readonly string[];
}

export interface DashboardSettings {
  /** Where index.html is; asked for at the first request, so that a start does not wait for a build. */
  readonly directory: () => Promise<string>;
  readonly login: PageLogin | null;
}

/** Their names change with what is in them. */
const IMMUTABLE = /^assets\//;
const YEAR_MS = 365 * 24 * 3_600_000;

export function installDashboard(app: FastifyInstance, { directory, login }: DashboardSettings): void {
  const policy = pagePolicy(login);
  const html = { hide: true };
  app.register(async (page) => {
    await page.register(fastifyStatic, { root: import.meta.dirname, serve: false, dotfiles: 'deny' });
    page.addHook('onSend', async (_, reply) => {
      reply.header('content-security-policy', policy);
    });
    page.get('/', { schema: html }, async (_, reply) => await reply.redirect('ui/'));
    page.get('/ui', { schema: html }, async (_, reply) => await reply.redirect('ui/'));
    page.get('/ui/login.json', { schema: html }, async (_, reply) => {
      const oidc = login === null ? null : { issuer: login.issuer, clientId: login.clientId, scope: login.scope };
      return reply.header('cache-control', 'no-store').serializer(JSON.stringify).send({ oidc });
    });
    page.get('/ui/*', { schema: html }, async (request, reply) => {
      const { '*': rest = '' } = request.params as { '*'?: string };
      return await sendFile(reply, rest === '' ? 'index.html' : rest, directory);
    });
  });
}

async function sendFile(reply: FastifyReply, name: string, directory: () => Promise<string>): Promise<FastifyReply> {
  const root = await directory().catch((cause: unknown) => {
    reply.log.error({ err: cause }, 'the web page could not be built');
    throw new LmasError('UNAVAILABLE', 'The web page could not be built.', {
      cause,
      remedy: 'Run `npm ci` in the source tree, or set LMAS_DASHBOARD_DIR to the built page. The API works without it.',
    });
  });
  const lasts = IMMUTABLE.test(name);
  return reply.sendFile(name, root, { immutable: lasts, maxAge: lasts ? YEAR_MS : 0 });
}

function pagePolicy(login: PageLogin | null): string {
  const provider = login === null ? [] : [new URL(login.issuer).origin, ...login.origins];
  return [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    `connect-src ${["'self'", ...provider].join(' ')}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
