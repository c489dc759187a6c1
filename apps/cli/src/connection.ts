/**
 * Which orchestrator, and with which key. The key comes from a file or the environment and never from the command line,
 * where every user of the machine could read it.
 */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { createLmasClient, type LmasClient } from '@lmas/client';
import { CliError } from './errors.ts';
import { parseDuration } from './units.ts';

export const DEFAULT_URL = 'http://127.0.0.1:7070';
export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConnectionFlags {
  readonly url?: string;
  readonly apiKeyFile?: string;
}

/** Where a key is looked for when nothing names one: the data directory of an orchestrator on this machine. */
export function defaultKeyFile(env: Environment): string {
  if (env.LMAS_DATA_DIR) return join(env.LMAS_DATA_DIR, 'api-key');
  return process.getuid?.() === 0 ? '/var/lib/lmas/api-key' : join(homedir(), '.local/state/lmas/api-key');
}

/** Throws CliError NO_API_KEY or INPUT_UNREADABLE, LmasConnectionError INVALID_URL; does not connect. */
export async function openClient(
  flags: ConnectionFlags,
  env: Environment,
  warn: (text: string) => void,
): Promise<LmasClient> {
  const baseUrl = flags.url ?? (env.LMAS_URL || DEFAULT_URL);
  const limit = env.LMAS_TIMEOUT ? { timeoutMs: parseDuration(env.LMAS_TIMEOUT, 's') } : {};
  const client = createLmasClient({ baseUrl, apiKey: await readApiKey(flags, env), ...limit });
  const { protocol, hostname } = new URL(client.baseUrl);
  if (protocol === 'http:' && !isLoopback(hostname)) {
    warn(
      `the API key crosses the network to ${hostname} in the clear: put a TLS proxy before the orchestrator and use https://.`,
    );
  }
  return client;
}

async function readApiKey(flags: ConnectionFlags, env: Environment): Promise<string> {
  const named = flags.apiKeyFile ?? (env.LMAS_API_KEY_FILE || undefined);
  if (named !== undefined) return checkKey(await readKeyFile(named), named);
  if (env.LMAS_API_KEY) return checkKey(env.LMAS_API_KEY, 'LMAS_API_KEY');
  const fallback = defaultKeyFile(env);
  try {
    return checkKey(await readFile(fallback, 'utf8'), fallback);
  } catch (error) {
    if (error instanceof CliError) throw error;
    const reason = codeOf(error) === 'ENOENT' ? 'does not exist' : `cannot be read (${codeOf(error)})`;
    throw new CliError('NO_API_KEY', `No API key: none was named, and ${fallback} ${reason}.`, {
      remedy:
        'Name a file that holds it with --api-key-file FILE or LMAS_API_KEY_FILE, or set LMAS_API_KEY. With no orchestrator yet, start one on this machine: npx lmas-orchestrator makes a first key there.',
      cause: error,
    });
  }
}

async function readKeyFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CliError('INPUT_UNREADABLE', `The API key file ${file} cannot be read (${codeOf(error)}).`, {
      cause: error,
    });
  }
}

/** A key is one printable word; anything else is the wrong file, and would not survive a header. */
function checkKey(text: string, origin: string): string {
  const key = text.trim();
  if (!/^[\x21-\x7e]{1,1024}$/.test(key)) {
    throw new CliError('INPUT_UNREADABLE', `${origin} does not hold an API key: a key is one line without spaces.`);
  }
  return key;
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
