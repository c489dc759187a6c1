/**
 * The OpenAPI document (3.1), made from the routes' own schemas, and the page that shows it. The page and all it needs
 * come from this server: it works where there is no internet.
 */
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { VERSION } from '../version.ts';

const DESCRIPTION = `Live migration of running virtual machines between sites, through an encrypted tunnel of many parallel TCP connections.

Units are in the names; \`null\` is "none" or "unlimited". Unknown fields are refused. Every error answer is problem+json
(RFC 9457) with a stable \`code\`. See docs/api.md and docs/errors.md.`;

const TAGS = [
  { name: 'migrations', description: 'Submit, follow, change, cancel.' },
  { name: 'queue', description: 'What waits, what runs, what holds it back.' },
  { name: 'sites', description: 'Data centres and their gateway machines.' },
  { name: 'links', description: 'The paths between two sites: set, measured, tested.' },
  { name: 'endpoints', description: 'Hypervisor control points and what is there.' },
  { name: 'credentials', description: 'Logins; their secrets go in and never come out.' },
  { name: 'gateways', description: 'The tunnel ends that live now.' },
  { name: 'plugins', description: 'The hypervisors that can be driven.' },
  { name: 'plans', description: 'Which VMs move together, in which order; their runs and reports.' },
  { name: 'schedules', description: 'What is started when.' },
  { name: 'balancing', description: 'Policies that keep hosts from being too busy, and why they move what.' },
  { name: 'webhooks', description: 'Who is told of what, and what was sent.' },
  { name: 'access', description: 'API keys, projects, the audit log.' },
  { name: 'service', description: 'The orchestrator itself.' },
];

/** The page runs its own scripts and speaks to this server; nothing else. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Before the routes: they are collected as they are registered. */
export function installDocument(app: FastifyInstance): void {
  app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'LMAS',
        description: DESCRIPTION,
        version: VERSION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: TAGS,
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, or a token of your OIDC issuer.' },
        },
      },
      security: [{ apiKey: [] }],
    },
    transform: createJsonSchemaTransform({}),
    transformObject: createJsonSchemaTransformObject({}),
  });
  app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: PAGE_POLICY,
    uiConfig: { deepLinking: true, docExpansion: 'none', validatorUrl: null },
  });
}
