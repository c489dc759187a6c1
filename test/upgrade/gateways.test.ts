/**
 * What gateways of other versions answer is understood: a migration keeps the gateways that it was begun with, and the orchestrator
 * that takes it over after an upgrade is later than they are (or, of two on one Redis, earlier). The answers are real ones, of
 * the builds that the files are named after, while bytes went through.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { identitySchema, statusSchema } from '@lmas/gateway-api';

interface Answers {
  readonly identity: object;
  readonly status: {
    readonly session: object;
    readonly subflows: readonly object[];
    readonly streams: readonly object[];
  };
}

const directory = path.join(import.meta.dirname, 'gateways');
const answersOf = (file: string): Answers => JSON.parse(readFileSync(path.join(directory, file), 'utf8')) as Answers;

for (const file of globSync('[0-9]*.json', { cwd: directory }).sort()) {
  test(`the answers of a gateway of ${path.basename(file, '.json')} are understood`, () => {
    const { identity, status } = answersOf(file);
    assert.equal(identitySchema.parse(identity).apiVersion, 1);
    assert.ok(status.subflows.length > 0 && status.streams.length > 0, 'it was at work');
    const read = statusSchema.parse(status);
    assert.equal(read.session?.state, 'established');
    assert.ok(read.session.bytesSent > 0);
    assert.deepEqual(
      read.subflows.map(({ congestionControl }) => typeof congestionControl),
      read.subflows.map(() => 'string'),
    );
  });

  test(`what a later gateway than that of ${path.basename(file, '.json')} says more is left out`, () => {
    const { status } = answersOf(file);
    const later = { mood: 'good' };
    const more = {
      ...{ ...status, ...later, session: { ...status.session, ...later } },
      subflows: status.subflows.map((one) => ({ ...one, ...later })),
    };
    assert.deepEqual(statusSchema.parse(more), statusSchema.parse(status));
  });
}
