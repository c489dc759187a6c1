/**
 * Which orchestrator, and with which key. The key comes from a file or the environment and never from the command line,
 * where every user of the machine could read it. Address and key come from one place, so that no orchestrator is ever shown
 * the key of another; of these the first that says anything:
 *
 *   --url, --api-key-file   --context   LMAS_CONTEXT   LMAS_URL, LMAS_API_KEY_FILE, LMAS_API_KEY   the context in use   this machine
 *
 * Within the first and the fourth, what is not said is taken from the fourth and from this machine; --api-key-file goes with a
 * context, too.
 */
import { createReadStream, existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { createLmasClient, type LmasClient } from '@lmas/client';
import { type Context, contextNamed, readContexts } from './contexts.ts';
import { CliError } from './errors.ts';
import { withPatience } from './patience.ts';
import { parseDuration } from './units.ts';

export const DEFAULT_URL = 'http://127.0.0.1:7070';
/** No more of a key file is read; a device never ends. */
const LONGEST_KEY_FILE = 64 * 1024;
/** As at the orchestrator: a token of an identity provider is longer than a key, and has to fit into a header. */
const LONGEST_KEY = 14 * 1024;
export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConnectionFlags {
  readonly url?: string;
  readonly apiKeyFile?: string;
  readonly context?: string;
}

/** Where a key is looked for when nothing names one: the data directory of an orchestrator on this machine. */
export function defaultKeyFile(env: Environment): string {
  if (env.LMAS_DATA_DIR) return join(env.LMAS_DATA_DIR, 'api-key');
  return process.getuid?.() === 0 ? '/var/lib/lmas/api-key' : join(homedir(), '.local/state/lmas/api-key');
}

/** Where the orchestrator is said to be. @throws CliError CONTEXT_UNKNOWN, CONTEXT_INVALID, INVALID_VALUE */
export async function whereIs(flags: ConnectionFlags, env: Environment): Promise<string> {
  return (await contextFor(flags, env))?.url ?? flags.url ?? (env.LMAS_URL || DEFAULT_URL);
}

/** The context that address and key come from, if it is one. */
async function contextFor(flags: ConnectionFlags, env: Environment): Promise<Context | undefined> {
  if (flags.context !== undefined && flags.url !== undefined) {
    throw new CliError('INVALID_VALUE', 'Both --context and --url say where the orchestrator is: give one of them.');
  }
  if (flags.url !== undefined) return undefined;
  const named = flags.context ?? (env.LMAS_CONTEXT || undefined);
  if (named !== undefined) return contextNamed(named, await readContexts(env));
  if (env.LMAS_URL || env.LMAS_API_KEY_FILE || env.LMAS_API_KEY) return undefined;
  const contexts = await readContexts(env);
  return contexts.current === null ? undefined : contextNamed(contexts.current, contexts);
}

/**
 * Throws CliError NO_API_KEY or INPUT_UNREADABLE, LmasConnectionError INVALID_URL; does not connect.
 * @param say told what is waited for, if somebody is there to read it
 */
export async function openClient(
  flags: ConnectionFlags,
  env: Environment,
  { warn, say }: { readonly warn: (text: string) => void; readonly say?: ((text: string) => void) | undefined },
): Promise<LmasClient> {
  const baseUrl = await whereIs(flags, env);
  const limit = env.LMAS_TIMEOUT ? { timeoutMs: timeoutOf(env.LMAS_TIMEOUT) } : {};
  const patience = say === undefined ? {} : { fetch: withPatience(fetch, say) };
  const client = createLmasClient({ baseUrl, apiKey: await readApiKey(flags, env), ...limit, ...patience });
  const { protocol, hostname } = new URL(client.baseUrl);
  if (protocol === 'http:' && !isLoopback(hostname)) {
    warn(
      `the API key crosses the network to ${hostname} in the clear: put a TLS proxy before the orchestrator and use https://.`,
    );
  }
  return client;
}

/** What must not appear in anything that is written: the key that is used, if there is one. */
export async function knownSecrets(flags: ConnectionFlags, env: Environment): Promise<string[]> {
  return await readApiKey(flags, env).then(
    (key) => [key],
    () => [], // without a key there is none to give away
  );
}

async function readApiKey(flags: ConnectionFlags, env: Environment): Promise<string> {
  const context = await contextFor(flags, env);
  if (flags.apiKeyFile === undefined && context !== undefined) return await keyOf(context, env);
  const named = flags.apiKeyFile ?? (env.LMAS_API_KEY_FILE || undefined);
  if (named !== undefined) return checkKey(await readKeyFile(named), named);
  if (env.LMAS_API_KEY) return checkKey(env.LMAS_API_KEY, 'LMAS_API_KEY');
  const fallback = defaultKeyFile(env);
  try {
    return checkKey(await readStart(fallback), fallback);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const reason = codeOf(error) === 'ENOENT' ? 'does not exist' : `cannot be read (${codeOf(error)})`;
    throw new CliError('NO_API_KEY', `No API key: none was named, and ${fallback} ${reason}.`, {
      remedy: `Name a file that holds it with --api-key-file FILE or LMAS_API_KEY_FILE, or set LMAS_API_KEY. With no orchestrator yet, start one on this machine: ${howToStart()} makes a first key there.${whereFirstKeyIs()}`,
      cause: error,
    });
  }
}

/** With the Debian package the orchestrator is a unit of systemd. */
export function howToStart(isInstalled = existsSync('/usr/lib/lmas')): string {
  return isInstalled ? 'systemctl enable --now lmas-orchestrator' : 'npx lmas-orchestrator';
}

/** Not where this user's own orchestrator would have it; root looks there by itself. */
export function whereFirstKeyIs(isInstalled = existsSync('/usr/lib/lmas'), isRoot = process.getuid?.() === 0): string {
  return isInstalled && !isRoot ? ' That of the package is /var/lib/lmas/api-key, which root can read.' : '';
}

async function keyOf({ apiKeyFile, apiKeyVariable }: Context, env: Environment): Promise<string> {
  if (apiKeyFile !== undefined) return checkKey(await readKeyFile(apiKeyFile), apiKeyFile);
  const key = apiKeyVariable === undefined ? undefined : env[apiKeyVariable];
  if (apiKeyVariable !== undefined && key) return checkKey(key, apiKeyVariable);
  throw new CliError('NO_API_KEY', `No API key: the context takes it from ${apiKeyVariable}, which is not set.`);
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readStart(file);
  } catch (error) {
    throw new CliError('INPUT_UNREADABLE', `The API key file ${file} cannot be read (${codeOf(error)}).`, {
      cause: error,
    });
  }
}

const readStart = (file: string): Promise<string> => text(createReadStream(file, { end: LONGEST_KEY_FILE }));

/** A key is one printable word; anything else is the wrong file, and would not survive a header. */
function checkKey(content: string, origin: string): string {
  if (content.length > LONGEST_KEY_FILE) {
    throw new CliError('INPUT_UNREADABLE', `${origin} does not hold an API key: it is larger than 64 KiB.`);
  }
  const key = content.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new CliError('INPUT_UNREADABLE', `${origin} does not hold an API key: a key is one line without spaces.`);
  }
  if (key.length > LONGEST_KEY) {
    const tooLong = `the key or token is too long: ${key.length} characters, at most ${LONGEST_KEY}`;
    throw new CliError('INPUT_UNREADABLE', `${origin}: ${tooLong}.`, {
      remedy: 'Have the identity provider put roles into its tokens, and not all groups.',
    });
  }
  return key;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

/** @throws CliError INVALID_VALUE */
function timeoutOf(text: string): number {
  const timeoutMs = parseDuration(text, 's');
  if (timeoutMs > 0) return timeoutMs;
  throw new CliError('INVALID_VALUE', `LMAS_TIMEOUT: "${text}" leaves no time to answer.`, {
    remedy: 'Write for example 10s.',
  });
}
