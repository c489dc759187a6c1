/**
 * Settings of a plan inside its text: read, and set one at a time so that the rest of the text, comments and all, stays as somebody
 * wrote it. Pure.
 */
import { type Document, isMap, isScalar, parseDocument } from 'yaml';

type Path = readonly (string | number)[];
export type Setting = string | readonly string[];

/** What chooses many VMs at once, and so has an order of its own. */
export interface Group {
  readonly path: Path;
  /** What it is called. */
  readonly words: string;
  readonly first: readonly string[];
  readonly order: string;
}

export interface Settings {
  readonly poweredOff: string;
  readonly silent: string;
  readonly memory: string;
  readonly groups: readonly Group[];
}

/** What counts where a plan says nothing: as the orchestrator has it. */
const DEFAULTS = { poweredOff: 'refuse', silent: 'refuse', memory: 'overcommit' };
const ORDER = 'name';

export const parse = (text: string): Document => parseDocument(text, { prettyErrors: true, uniqueKeys: true });

/** undefined: nothing that could be read */
export function settingsOf(text: string): Settings | undefined {
  const plan = bodyOf(text);
  if (plan === undefined) return undefined;
  const word = (name: keyof typeof DEFAULTS) => (typeof plan[name] === 'string' ? plan[name] : DEFAULTS[name]);
  return {
    ...{ poweredOff: word('poweredOff'), silent: word('silent'), memory: word('memory') },
    groups: listOf(plan.waves).flatMap((wave, i) =>
      listOf(recordOf(wave).vms).flatMap((selector, k) => groupOf(recordOf(selector), ['waves', i, 'vms', k])),
    ),
  };
}

/** undefined as well where aliases of aliases would fill the memory */
function bodyOf(text: string): Record<string, unknown> | undefined {
  const document = parse(text);
  if (document.errors.length > 0 || !isMap(document.contents)) return undefined;
  try {
    return document.toJS({ maxAliasCount: 100 }) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function groupOf({ kind, label, source, first, order }: Record<string, unknown>, path: Path): Group[] {
  const words =
    kind === 'label' ? `Label ${label}` : kind === 'host' || kind === 'site' ? `All of ${kind} ${source}` : undefined;
  if (words === undefined) return [];
  const names = listOf(first).filter((name) => typeof name === 'string');
  return [{ path, words, first: names, order: typeof order === 'string' ? order : ORDER }];
}

const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};

/** @returns the text with that setting, and nothing else in it changed. @param text of a plan that can be read */
export function withSetting(text: string, path: Path, value: Setting): string {
  const wanted = parse(text);
  wanted.setIn(path, value);
  const spliced = splice(text, path, JSON.stringify(value).replace(/^"([a-z-]+)"$/, '$1'));
  const isTheSame = JSON.stringify(bodyOf(spliced)) === JSON.stringify(wanted.toJS());
  // Where the text is written in a way that is not foreseen here, it is written anew: comments stay, their places do not.
  return isTheSame ? spliced : wanted.toString({ lineWidth: 110 });
}

/** As a person would: in place of what stands there, at the end of a pair of braces, or on a line of its own below all others. */
function splice(text: string, path: Path, value: string): string {
  const document = parse(text);
  const there = document.getIn(path, true);
  const range = isScalar(there) || isFlow(there) ? there.range : undefined;
  if (range) return text.slice(0, range[0]) + value + text.slice(range[1]);
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
  const line = `${path.at(-1)}: ${value}`;
  if (isFlow(parent) && parent.range) {
    const end = parent.range[1] - 1;
    const before = text.slice(0, end).trimEnd();
    const space = text.slice(before.length, end);
    return `${before}, ${quoted(parent, line)}${space}${text.slice(end)}`;
  }
  return path.length === 1 ? `${text.trimEnd()}\n${line}\n` : text;
}

interface Flow {
  readonly flow?: boolean;
  readonly range?: readonly [number, number, number] | null;
  readonly items?: readonly unknown[];
}
const isFlow = (node: unknown): node is Flow =>
  typeof node === 'object' && node !== null && (node as Flow).flow === true;

/** JSON has its names in quotes. */
const quoted = ({ items = [] }: Flow, line: string): string =>
  items.some((item) => (item as { key?: { type?: string } }).key?.type === 'QUOTE_DOUBLE')
    ? line.replace(/^(\w+): ([a-z-]+)$/, '"$1": "$2"').replace(/^(\w+): \[/, '"$1": [')
    : line;
