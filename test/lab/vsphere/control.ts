/** A process's control socket: named commands with JSON arguments, on a Unix socket in the process's directory. */
import { existsSync, rmSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { text } from 'node:stream/consumers';

export type Commands = Readonly<Record<string, (...args: never[]) => unknown>>;

/** Serves `commands`; what one throws is answered as text. */
export function serveCommands(socketPath: string, commands: Commands): void {
  rmSync(socketPath, { force: true });
  const server = createServer(async (incoming, response) => {
    try {
      const command = commands[(incoming.url ?? '').slice(1)] as ((...args: unknown[]) => unknown) | undefined;
      if (command === undefined) throw new Error(`no command ${incoming.url}`);
      const result = await command(...(JSON.parse(await text(incoming)) as unknown[]));
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(result ?? null));
    } catch (error) {
      response.writeHead(500).end((error as Error).message);
    }
  });
  server.listen(socketPath);
}

/** @throws when the process does not run, does not answer in time, or refuses */
export function command(
  socketPath: string,
  name: string,
  args: readonly unknown[] = [],
  timeoutMs = 5_000,
): Promise<unknown> {
  if (!existsSync(socketPath)) return Promise.reject(new Error(`${socketPath}: the process does not run`));
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, method: 'POST', path: `/${name}`, timeout: timeoutMs }, (response) => {
      text(response).then((said) => {
        if (response.statusCode === 200) resolve(JSON.parse(said));
        else reject(new Error(said));
      }, reject);
    });
    call.once('timeout', () => call.destroy(new Error(`${name}: no answer`)));
    call.once('error', reject);
    call.end(JSON.stringify(args));
  });
}
