/**
 * Documents that people write: YAML, of which JSON is a part. Read strictly: a key twice, an unknown tag or a flood of
 * aliases is refused with its line.
 */
import { isMap, parseDocument, stringify } from 'yaml';
import { CliError } from './errors.ts';
import { readInput } from './secrets.ts';
import type { Terminal } from './terminal.ts';

const MAX_ALIASES = 100;

/** A file (or standard input, `-`) that holds one YAML or JSON object. */
export async function readDocument(file: string, terminal: Terminal): Promise<Record<string, unknown>> {
  const source = await readInput(file, terminal);
  const name = file === '-' ? 'Standard input' : file;
  const document = parseDocument(source, { prettyErrors: true, uniqueKeys: true });
  const [problem] = [...document.errors, ...document.warnings];
  if (problem !== undefined) {
    throw new CliError('INPUT_UNREADABLE', `${name} is not YAML: ${problem.message.trimEnd()}`, { cause: problem });
  }
  if (!isMap(document.contents)) throw new CliError('INPUT_UNREADABLE', `${name} holds no object.`);
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES }) as Record<string, unknown>;
  } catch (cause) {
    throw new CliError('INPUT_UNREADABLE', `${name} has too many aliases.`, { cause });
  }
}

/** For people to read, edit and send back. */
export const writeDocument = (content: unknown): string => stringify(content, { lineWidth: 120 });

/** Which lines were taken away (`-`) and added (`+`), with all that stayed between them; '' when they are the same. */
export function differences(before: string, after: string): string {
  if (before === after) return '';
  const [old, young] = [before, after].map((text) => text.trimEnd().split('\n'));
  const [a, b] = [old ?? [], young ?? []];
  // The longest common subsequence, from the end: plans are some hundred lines long.
  const common = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  const at = (i: number, j: number): number => common[i]?.[j] ?? 0;
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const row = common[i];
      if (row !== undefined) row[j] = a[i] === b[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push(` ${a[i++]}`);
      j++;
    } else if (j >= b.length || (i < a.length && at(i + 1, j) >= at(i, j + 1))) lines.push(`-${a[i++]}`);
    else lines.push(`+${b[j++]}`);
  }
  return `${lines.join('\n')}\n`;
}
