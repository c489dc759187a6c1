/**
 * A line that is rewritten in place below ordinary output. Owns the last line of the terminal between the first `show`
 * and `clear`; ordinary lines in between go through `log`.
 */
import type { OutputStream } from '../terminal.ts';

const ERASE = '\r\u001b[2K';

export class LiveLine {
  readonly #stream: OutputStream;
  #shown = '';

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  show(text: string): void {
    if (text === this.#shown) return;
    this.#stream.write(`${ERASE}${text}`);
    this.#shown = text;
  }

  log(text: string): void {
    this.#stream.write(`${this.#shown === '' ? '' : ERASE}${text}\n${this.#shown}`);
  }

  clear(): void {
    if (this.#shown !== '') this.#stream.write(ERASE);
    this.#shown = '';
  }
}
