/**
 * What the tests of the documents need of Markdown: the pages, their headings as anchors, and their blocks of code.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Every page of the project, by its path from the root. */
export const pages: readonly string[] = globSync(
  ['*.md', 'docs/**/*.md', '{apps,packages,plugins,test,deploy}/**/*.md'],
  { cwd: root, exclude: (path) => path.split('/').includes('node_modules') },
).sort();

export const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

export interface CodeBlock {
  readonly page: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  readonly language: string;
  /** What stands behind the language: in this project the path of the file that the block is from. */
  readonly info: string;
  readonly code: string;
}

export function codeBlocksOf(page: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let open: { line: number; indent: string; info: string; code: string[] } | undefined;
  for (const [index, line] of textOf(page).split('\n').entries()) {
    const fence = /^(\s*)```(.*)$/.exec(line);
    if (open !== undefined && fence !== null) {
      const [language = '', ...info] = open.info.trim().split(' ');
      blocks.push({ page, line: open.line, language, info: info.join(' '), code: open.code.join('\n') });
      open = undefined;
    } else if (open !== undefined) {
      open.code.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    } else if (fence !== null) {
      open = { line: index + 1, indent: fence[1] ?? '', info: fence[2] ?? '', code: [] };
    }
  }
  return blocks;
}

/** Blocks that only their indent makes code: four spaces, more in a list. Their language is empty. */
export function indentedBlocksOf(page: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let block: { line: number; code: string[] } | undefined;
  let isFenced = false;
  let isAfterBlank = true;
  const close = () => {
    if (block !== undefined) {
      const lines = block.code.join('\n').trimEnd().split('\n');
      const indent = Math.min(...lines.filter((line) => line !== '').map((line) => line.search(/\S/)));
      const code = lines.map((line) => line.slice(indent)).join('\n');
      blocks.push({ page, line: block.line, language: '', info: '', code });
    }
    block = undefined;
  };
  for (const [index, line] of textOf(page).split('\n').entries()) {
    if (/^\s*```/.test(line)) isFenced = !isFenced;
    const isBlank = line.trim() === '';
    if (block !== undefined && (isBlank || /^ {4}/.test(line))) block.code.push(isBlank ? '' : line);
    else {
      close();
      if (!isFenced && isAfterBlank && /^ {4}/.test(line)) block = { line: index + 1, code: [line] };
    }
    isAfterBlank = isBlank;
  }
  close();
  return blocks;
}

/** As GitHub makes them: lower case, no punctuation, hyphens for spaces, numbered where they repeat. */
export function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>();
  const text = textOf(page).replaceAll(/^\s*```[\s\S]*?^\s*```/gm, '');
  for (const [, heading = ''] of text.matchAll(/^#{1,6} (.+)$/gm)) {
    const plain = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = plain
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(/\s/g, '-');
    let anchor = slug;
    for (let count = 1; anchors.has(anchor); count += 1) anchor = `${slug}-${count}`;
    anchors.add(anchor);
  }
  return anchors;
}
