/** What a package holds, as a list in memory; nothing is written before all of it is known. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** Of the checkout. */
export const ROOT = path.join(import.meta.dirname, '../..');

export interface FileEntry {
  /** Relative to where it is put. */
  readonly path: string;
  readonly mode: number;
  readonly content: Buffer;
}

export interface LinkEntry {
  readonly path: string;
  /** As readlink(2) shows it. */
  readonly target: string;
}

export interface DirectoryEntry {
  readonly path: string;
  readonly isDirectory: true;
}

export type Entry = FileEntry | LinkEntry | DirectoryEntry;

export const below = (directory: string, entries: readonly FileEntry[]): FileEntry[] =>
  entries.map((entry) => ({ ...entry, path: `${directory}/${entry.path}` }));

/** Every file of a directory, for everybody to read. */
export function filesBelow(directory: string): FileEntry[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .map((file) => ({ path: path.relative(directory, file), mode: 0o644, content: readFileSync(file) }));
}
