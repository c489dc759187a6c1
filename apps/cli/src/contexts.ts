/**
 * Named orchestrators, in one file that only its user may read: which there are, and which one is used when nothing else is said.
 * A context names where a key is, a file or a variable, and never holds one.
 */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import type { Environment } from './connection.ts';
import { CliError } from './errors.ts';

export interface Context {
  readonly url: string;
  readonly apiKeyFile?: string;
  /** Name of the environment variable that holds the key. */
  readonly apiKeyVariable?: string;
}

export interface Contexts {
  readonly current: string | null;
  readonly contexts: Readonly<Record<string, Context>>;
}

export function contextsFile(env: Environment): string {
  if (env.LMAS_CONTEXTS_FILE) return env.LMAS_CONTEXTS_FILE;
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), '.config'), 'lmas', 'contexts.json');
}

/** Without a file there are none. @throws CliError CONTEXT_INVALID, also when others may write the file: they could name their own orchestrator */
export async function readContexts(env: Environment): Promise<Contexts> {
  const file = contextsFile(env);
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new CliError('CONTEXT_INVALID', `${file} cannot be read.`, { cause });
  });
  if (text === null) return { current: null, contexts: {} };
  const { mode, uid } = await stat(file);
  if ((mode & 0o022) !== 0 || (uid !== 0 && uid !== process.getuid?.())) {
    throw new CliError(
      'CONTEXT_INVALID',
      `${file} can be changed by others, who could lead you to their orchestrator.`,
      {
        remedy: `Make it yours alone: chown it to you, chmod 600 ${file}`,
      },
    );
  }
  try {
    return checked(JSON.parse(text));
  } catch (cause) {
    throw new CliError('CONTEXT_INVALID', `${file} is not as \`lmas context\` writes it: ${(cause as Error).message}`, {
      remedy: 'Mend it, or remove it and add your contexts again.',
      cause,
    });
  }
}

/** The whole file at once, so that a reader finds the old or the new one. */
export async function writeContexts(contexts: Contexts, env: Environment): Promise<void> {
  const file = contextsFile(env);
  const unfinished = `${file}.${process.pid}`;
  try {
    await makeDirectory(dirname(file));
    await writeFile(unfinished, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
    await rename(unfinished, file);
  } catch (cause) {
    throw new CliError('OUTPUT_NOT_WRITTEN', `${file} cannot be written: ${(cause as Error).message}`, { cause });
  }
}

/** With what it is in. Not `recursive`: that never ends where a directory cannot be made and says that it is not there (/proc). */
async function makeDirectory(path: string): Promise<void> {
  const make = () =>
    mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  try {
    await make();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await make();
  }
}

/** @throws CliError CONTEXT_UNKNOWN */
export function contextNamed(name: string, { contexts }: Contexts): Context {
  const context = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (context !== undefined) return context;
  const names = Object.keys(contexts);
  throw new CliError('CONTEXT_UNKNOWN', `There is no context ${name}.`, {
    remedy: names.length === 0 ? 'Make one: lmas context add NAME --url URL' : `There is: ${names.join(', ')}.`,
  });
}

function checked(value: unknown): Contexts {
  const { current, contexts } = asObject(value, 'it');
  if (current !== null && typeof current !== 'string') throw new Error('current is no name');
  const entries = Object.entries(asObject(contexts, 'contexts')).map(([name, one]) => [
    name,
    checkedContext(name, one),
  ]);
  return { current, contexts: Object.fromEntries(entries) };
}

function checkedContext(name: string, value: unknown): Context {
  const { url, apiKeyFile, apiKeyVariable } = asObject(value, name);
  if (typeof url !== 'string') throw new Error(`${name} has no url`);
  if (apiKeyFile !== undefined && typeof apiKeyFile !== 'string') throw new Error(`apiKeyFile of ${name} is no path`);
  if (apiKeyVariable !== undefined && typeof apiKeyVariable !== 'string') {
    throw new Error(`apiKeyVariable of ${name} is no name`);
  }
  return {
    url,
    ...(apiKeyFile === undefined ? {} : { apiKeyFile }),
    ...(apiKeyVariable === undefined ? {} : { apiKeyVariable }),
  };
}

function asObject(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is no object`);
  return value as Record<string, unknown>;
}
