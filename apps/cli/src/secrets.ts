/**
 * Reading secrets and documents: from a file, from standard input (`-`), or asked for at the terminal without an echo.
 * Never from a flag: command lines are public.
 */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { CliError } from './errors.ts';
import type { Terminal } from './terminal.ts';

/** The content of a file, or of standard input for `-`. */
export async function readInput(file: string, terminal: Terminal): Promise<string> {
  if (file === '-') return text(terminal.stdin);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
    throw new CliError('INPUT_UNREADABLE', `${file} cannot be read (${code}).`, { cause: error });
  }
}

/** A secret of one line: the line end that editors and echo add is not part of it. */
export async function readSecret(file: string, terminal: Terminal): Promise<string> {
  const secret = (await readInput(file, terminal)).replace(/\r?\n$/, '');
  if (secret === '') throw new CliError('INPUT_UNREADABLE', `${file === '-' ? 'Standard input' : file} is empty.`);
  return secret;
}

export async function readJson(file: string, terminal: Terminal): Promise<unknown> {
  const source = await readInput(file, terminal);
  try {
    return JSON.parse(source);
  } catch (error) {
    throw new CliError('INPUT_UNREADABLE', `${file} is not JSON: ${error instanceof Error ? error.message : error}.`, {
      cause: error,
    });
  }
}

export function canAsk({ stdin, stderr }: Terminal): boolean {
  return stdin.isTTY === true && stderr.isTTY === true;
}

/** Asks at the terminal; what is typed is not shown. Throws CliError NO_TERMINAL, INTERRUPTED, or INVALID_VALUE where none was. */
export function askSecret(question: string, terminal: Terminal): Promise<string> {
  if (!canAsk(terminal)) {
    throw new CliError('NO_TERMINAL', `${question}: there is no terminal to ask at.`, {
      remedy: 'Give the secret in a file, or on standard input with "-" as the file.',
    });
  }
  const { stdin, stderr } = terminal;
  stderr.write(`${question}: `);
  return new Promise((resolve, reject) => {
    let typed = '';
    const finish = (settle: () => void) => {
      stdin.off('data', onData);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
      settle();
    };
    const onData = (chunk: Buffer | string) => {
      for (const key of String(chunk)) {
        if (key === '\u0004' || (isEnter(key) && typed === '')) return finish(() => reject(nothingTyped(question)));
        if (isEnter(key)) return finish(() => resolve(typed));
        if (key === '\u0003') return finish(() => reject(new CliError('INTERRUPTED', 'Interrupted.')));
        if (key === '\u007f' || key === '\b') typed = Array.from(typed).slice(0, -1).join('');
        else if (key === '\u0015') typed = '';
        else if (key >= ' ') typed += key;
      }
      return undefined;
    };
    stdin.setRawMode(true);
    stdin.setEncoding('utf8');
    stdin.on('data', onData);
    stdin.resume();
  });
}

const isEnter = (key: string): boolean => key === '\r' || key === '\n';

/** Also where it was ended with Ctrl-D: half a secret is none. */
const nothingTyped = (question: string): CliError => new CliError('INVALID_VALUE', `${question}: none was given.`);
