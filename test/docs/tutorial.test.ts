/** What the tutorial has people type is about the endpoints and the lab that the demonstration makes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LAB_NAME } from '../e2e/demo-stand.ts';
import { endpointId } from '../support/two-sites.ts';
import { textOf } from './markdown.ts';

const typed = textOf('docs/tutorial.md')
  .split('\n')
  .filter((line) => line.startsWith('    '));

test('its endpoints are those of the demonstration', () => {
  const named = typed.flatMap((line) => [...line.matchAll(/(?:--from|--to|vm list) (\S+)/g)].map(([, name]) => name));
  assert.ok(named.length > 6);
  assert.deepEqual(new Set(named), new Set([endpointId('a'), endpointId('b')]));
});

test('its lab is that of the demonstration', () => {
  const commands = typed.filter((line) => line.includes('npm run lab'));
  assert.ok(commands.length > 2);
  for (const command of commands) assert.ok(command.endsWith(`--name ${LAB_NAME}`), command);
});
