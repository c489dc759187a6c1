/**
 * Decodes a `text/event-stream` body (HTML Living Standard, section 9.2.6), pure and byte by byte: chunks may end
 * anywhere, inside a character, a line end or an event. An event that the stream's end cuts off is not delivered.
 */

/** What the stream said; `id` is the last id seen so far, as Last-Event-ID wants it. */
export interface StreamEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

/** Bytes of one event that we are ready to hold; a record with all its findings is some kilobytes. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

export class EventStreamDecoder {
  /** Last id that the stream has named, with an event or by itself; of an event that is not complete it does not count. */
  lastEventId: string;
  /** How long the server wants us to wait before we connect again, when it said so. */
  retryMs: number | undefined;
  readonly #utf8 = new TextDecoder();
  #line = '';
  #skipLineFeed = false;
  #event = '';
  #id: string;
  #data: string[] = [];
  #dataChars = 0;

  constructor(lastEventId = '') {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** Takes the next bytes; returns the events they complete. Throws RangeError when one event exceeds every measure. */
  push(chunk: Uint8Array): StreamEvent[] {
    const events: StreamEvent[] = [];
    let text = this.#utf8.decode(chunk, { stream: true });
    if (this.#skipLineFeed && text !== '') {
      if (text.startsWith('\n')) text = text.slice(1);
      this.#skipLineFeed = false;
    }
    let start = 0;
    for (const end of text.matchAll(/\r\n|\r|\n/g)) {
      const event = this.#takeLine(this.#line + text.slice(start, end.index));
      if (event !== undefined) events.push(event);
      this.#line = '';
      start = end.index + end[0].length;
    }
    if (start > 0 && start === text.length && text.endsWith('\r')) this.#skipLineFeed = true;
    this.#line += text.slice(start);
    if (this.#line.length + this.#dataChars > MAX_EVENT_CHARS)
      throw new RangeError('an event of the stream is too long');
    return events;
  }

  #takeLine(line: string): StreamEvent | undefined {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'data') {
      this.#data.push(value);
      this.#dataChars += value.length;
    } else if (field === 'event') this.#event = value;
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^\d{1,7}$/.test(value)) this.retryMs = Number(value);
    return undefined;
  }

  #dispatch(): StreamEvent | undefined {
    this.lastEventId = this.#id;
    const event = { event: this.#event || 'message', data: this.#data.join('\n'), id: this.lastEventId };
    const empty = this.#data.length === 0;
    this.#event = '';
    this.#data = [];
    this.#dataChars = 0;
    return empty ? undefined : event;
  }
}
