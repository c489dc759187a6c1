/** Secrets are in the memory of orchestrator and gateway: neither leaves a core dump. Compose and the chart are looked at in their own tests. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { NO_CORE_DUMPS } from './core-dumps.ts';

const files = path.join(import.meta.dirname, '../../deploy/debian/files');
const read = (file: string): string => readFileSync(path.join(files, file), 'utf8');
/** A limit that is none already would show nothing. */
const skip = NO_CORE_DUMPS.test(readFileSync('/proc/self/limits', 'utf8')) && 'Core dumps are forbidden here.';

test('every unit forbids them', () => {
  const units = readdirSync(path.join(files, 'units'));
  assert.ok(units.includes('lmas-gateway@.service') && units.includes('lmas-orchestrator.service'));
  for (const unit of units) assert.match(read(`units/${unit}`), /^LimitCORE=0$/m, unit);
});

test('so does whatever is started by hand or in a container', { skip }, () => {
  for (const program of ['lmas-gateway', 'lmas-orchestrator']) {
    const script = read(`bin/${program}`).replace(/^exec .*$/m, 'exec cat /proc/self/limits');
    assert.match(execFileSync('sh', ['-c', script], { encoding: 'utf8' }), NO_CORE_DUMPS, program);
  }
});
