/**
 * What the documents print as code is code: excerpts of files that are built and tested, documents that the schemas of the
 * programs take, JSON and YAML that can be parsed. What a block is stands behind its language: ```ts docs/examples/x.ts.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { z } from 'zod';
import { staticConfigSchema } from '../../apps/gateway/src/static-config.ts';
import { oidcConfigSchema } from '../../apps/orchestrator/src/access/oidc-config.ts';
import { migrationInputSchema } from '../../apps/orchestrator/src/schemas/migration.ts';
import { planBodySchema } from '../../apps/orchestrator/src/schemas/plan.ts';
import { scheduleInputSchema } from '../../apps/orchestrator/src/schemas/schedule.ts';
import { type CodeBlock, codeBlocksOf, pages, root } from './markdown.ts';

const blocks = pages.flatMap(codeBlocksOf);
const named = ({ page, line }: CodeBlock): string => `${page}:${line}`;
const of = (...languages: string[]) => blocks.filter(({ language }) => languages.includes(language));

/** Info string → what the document has to be. */
const DOCUMENTS: Readonly<Record<string, z.ZodType>> = {
  'lmas-gateway': staticConfigSchema,
  migration: migrationInputSchema,
  oidc: oidcConfigSchema,
  plan: planBodySchema.safeExtend({ id: scheduleInputSchema.shape.id }),
  schedule: scheduleInputSchema.omit({ id: true }),
};

/** Also a part of an object, as in `"routes": { … }`. */
function parseJson(code: string): unknown {
  return JSON.parse(code.startsWith('{') || code.startsWith('[') ? code : `{${code}}`);
}

test('JSON and YAML can be parsed, and what a program reads is what it takes', () => {
  const documents = of('json', 'yaml');
  assert.ok(documents.length >= 6);
  for (const block of documents) {
    const value = block.language === 'json' ? parseJson(block.code) : parse(block.code);
    const schema = DOCUMENTS[block.info];
    assert.ok(block.info === '' || schema !== undefined, `${named(block)}: nobody knows "${block.info}"`);
    const problem = schema?.safeParse(value).error;
    assert.equal(problem, undefined, `${named(block)}: ${problem?.message}`);
  }
  const known = new Set(documents.map(({ info }) => info));
  for (const name of Object.keys(DOCUMENTS)) assert.ok(known.has(name), `a document of kind "${name}" is shown`);
});

test('TypeScript is a piece of a file that is built and tested', () => {
  const pieces = of('ts', 'typescript', 'js');
  assert.ok(pieces.length >= 5);
  for (const block of pieces) {
    assert.ok(block.info !== '' && existsSync(join(root, block.info)), `${named(block)} names its file`);
    const file = withoutIndent(readFileSync(join(root, block.info), 'utf8'));
    assert.ok(file.includes(withoutIndent(block.code)), `${named(block)} is as in its file`);
  }
});

test('the plugin author’s guide shows its plugin whole', () => {
  const shown = codeBlocksOf('docs/plugin-guide.md').filter(({ language }) => language === 'ts');
  for (const file of ['errors', 'client', 'session', 'driver', 'plugin']) {
    const path = `docs/examples/tiny-plugin/${file}.ts`;
    const pieces = shown.filter(({ info }) => info === path).map(({ code }) => code);
    assert.equal(withoutBlankLines(pieces.join('\n')), withoutBlankLines(readFileSync(join(root, path), 'utf8')), path);
  }
});

const withoutIndent = (text: string): string => text.replaceAll(/^ +/gm, '');
const withoutBlankLines = (text: string): string => text.replaceAll(/\n\s*\n/g, '\n').trim();
