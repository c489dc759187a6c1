/**
 * Some lines that are rewritten in place below ordinary output. Owns the last lines of the terminal between the first `show`
 * and `clear`. No line may be wider than the terminal, nor all of them higher: what has scrolled away cannot be rewritten.
 */
import type { OutputStream } from '../terminal.ts';

const CLEAR_BELOW = '\u001b[J';
const up = (lines: number): string => (lines === 0 ? '' : `\u001b[${lines}A`);

export class LiveBlock {
  readonly #stream: OutputStream;
  #shown = '';

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  /** @param text ends with a line end */
  show(text: string): void {
    if (text === this.#shown) return;
    this.#stream.write(`${this.#start()}${text}`);
    this.#shown = text;
  }

  clear(): void {
    if (this.#shown !== '') this.#stream.write(this.#start());
    this.#shown = '';
  }

  /** Back to its first column, and nothing of it left. */
  #start(): string {
    const lines = this.#shown.split('\n').length - 1;
    return lines === 0 ? '' : `\r${up(lines)}${CLEAR_BELOW}`;
  }
}
