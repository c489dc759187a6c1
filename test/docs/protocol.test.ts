/** PROTOCOL.md is written by hand, for who writes the other end: its numbers are those of the code. Every byte is in the golden vectors. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  FrameType,
  HEADER_BYTES,
  MAX_FRAMES_IN_FLIGHT,
  MAX_PAYLOAD_BYTES,
  MAX_STREAMS,
  PROTOCOL_VERSION,
} from '../../apps/gateway/src/protocol/frame.ts';
import { ControlType } from '../../apps/gateway/src/protocol/handshake.ts';
import { textOf } from './markdown.ts';

const page = textOf('apps/gateway/PROTOCOL.md');

/** Name → number, of the tables of a section that begin with `type` and `name`; one row may have several of both. */
function typesOf(section: string): Record<string, number> {
  const [, text = ''] = new RegExp(`^## \\d+\\. ${section}\\n(.*?)^## `, 'ms').exec(page) ?? [];
  const rows = [...text.matchAll(/^\| (\d+(?:, \d+)*) \| ([A-Z_]+(?:, [A-Z_]+)*) \|/gm)];
  return Object.fromEntries(
    rows.flatMap(([, numbers = '', names = '']) => {
      const each = numbers.split(', ').map(Number);
      return names.split(', ').map((name, place) => [name, each[place] ?? Number.NaN] as const);
    }),
  );
}

test('its messages and frames are those of the code, by name and number', () => {
  assert.deepEqual(typesOf('Control channel'), { ...ControlType });
  assert.deepEqual(typesOf('Frames'), { ...FrameType });
});

test('its version, sizes and limits are those of the code', () => {
  const asWritten = (value: number) => value.toLocaleString('en');
  assert.match(page, new RegExp(`^# .*, version ${PROTOCOL_VERSION}$`, 'm'));
  const fields = [...page.matchAll(/^\| (\d+) \| (\d+) \| \S/gm)].map(([, offset, size]) => [
    Number(offset),
    Number(size),
  ]);
  let end = 0;
  for (const [offset, size = 0] of fields) {
    assert.equal(offset, end, 'each field begins where the one before ends');
    end += size;
  }
  assert.equal(end, HEADER_BYTES);
  assert.ok(page.includes('payload length, at most 2²⁰') && MAX_PAYLOAD_BYTES === 2 ** 20);
  assert.ok(page.includes(`At most ${asWritten(MAX_FRAMES_IN_FLIGHT)} lie between`));
  assert.ok(page.includes(`Each end may have ${asWritten(MAX_STREAMS)} open`));
});
