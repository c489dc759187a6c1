import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventStreamDecoder, type StreamEvent } from './event-stream.ts';

const encoder = new TextEncoder();

/** Feeds the text in pieces of `size` bytes. */
function decode(text: string, size: number, decoder = new EventStreamDecoder()): StreamEvent[] {
  const bytes = encoder.encode(text);
  const events: StreamEvent[] = [];
  for (let at = 0; at < bytes.length; at += size) events.push(...decoder.push(bytes.subarray(at, at + size)));
  return events;
}

for (const end of ['\n', '\r', '\r\n']) {
  test(`an event stream with ${JSON.stringify(end)} line ends is the same however it is cut`, () => {
    const text = [
      ': hello',
      'id: 1',
      'data: Grüße 🚚',
      '',
      'event: phase',
      'data:a',
      'data: b',
      'id:2',
      '',
      'data: cut off',
    ].join(end);
    const expected = [
      { event: 'message', data: 'Grüße 🚚', id: '1' },
      { event: 'phase', data: 'a\nb', id: '2' },
    ];
    for (let size = 1; size <= encoder.encode(text).length; size += 1) {
      assert.deepEqual(decode(text, size), expected, `in pieces of ${size} bytes`);
    }
  });
}

test('the id stays until another is given, and one with NUL is ignored', () => {
  const decoder = new EventStreamDecoder('7');
  const ids = decode('data: a\n\nid: 8\ndata: b\n\nid: 9\0\ndata: c\n\nid\ndata: d\n\n', 3, decoder).map(
    ({ id }) => id,
  );
  assert.deepEqual(ids, ['7', '8', '8', '']);
});

test('comments, unknown fields and events without data are not delivered', () => {
  assert.deepEqual(decode(': keep-alive\n\n:\n\nevent: x\n\nfoo: bar\ndata\n\n', 2), [
    { event: 'message', data: '', id: '' },
  ]);
});

test('a byte order mark at the start is no part of the first line', () => {
  assert.equal(decode('\ufeffdata: x\n\n', 1)[0]?.data, 'x');
});

test('retry is taken only when it is a number', () => {
  const decoder = new EventStreamDecoder();
  decode('retry: soon\n\n', 4, decoder);
  assert.equal(decoder.retryMs, undefined);
  decode('retry: 1500\n\n', 4, decoder);
  assert.equal(decoder.retryMs, 1_500);
});

test('an event that never ends is refused and not held for ever', () => {
  const decoder = new EventStreamDecoder();
  const chunk = encoder.encode('x'.repeat(1024 * 1024));
  decoder.push(encoder.encode('data: '));
  assert.throws(() => {
    for (let i = 0; i < 20; i += 1) decoder.push(chunk);
  }, RangeError);
});
