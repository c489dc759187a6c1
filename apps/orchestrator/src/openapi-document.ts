/**
 * Prints the OpenAPI document, without a server or Redis: `node src/openapi-document.ts`. packages/client is generated
 * from it.
 */
import { buildServer } from './http/server.ts';
import type { Services } from './http/services.ts';
import { createLog } from './log.ts';

/** The document is made from the routes' schemas; no service is called for it. */
const NO_SERVICES = {} as unknown as Services;

export async function openApiDocument(): Promise<object> {
  const app = buildServer(NO_SERVICES, { log: createLog('silent') });
  await app.ready();
  try {
    return app.swagger();
  } finally {
    await app.close();
  }
}

if (import.meta.main) console.log(JSON.stringify(await openApiDocument(), null, 2));
