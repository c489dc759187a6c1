/**
 * A bundle in the making: files that were redacted on their way in, within a size that can be sent by mail, and a manifest
 * of what is in it, what is not, and why. Written once, for its owner only, never over another file.
 */
import { createTarGzip } from 'nanotar';
import { createPrivateFile } from '../private-file.ts';
import { Redactor } from './redact.ts';

const MAX_FILE_BYTES = 4 << 20;
const MAX_BYTES = 32 << 20;

export interface BundledFile {
  readonly name: string;
  readonly bytes: number;
  /** Places where something was taken out. */
  readonly redacted: number;
  readonly what: string;
}

export interface LeftOut {
  readonly what: string;
  readonly why: string;
}

export class Archive {
  readonly files: BundledFile[] = [];
  readonly leftOut: LeftOut[] = [];
  readonly #contents: { name: string; data: string }[] = [];
  readonly #known: readonly string[];
  #bytes = 0;

  /** @param known what is secret whatever it looks like */
  constructor(known: readonly string[]) {
    this.#known = known;
  }

  addJson(name: string, what: string, value: unknown): void {
    const redactor = new Redactor(this.#known);
    const shown = redactor.value(value);
    this.#add(name, what, `${JSON.stringify(shown, null, 2)}\n`, redactor.count);
  }

  addText(name: string, what: string, text: string): void {
    const redactor = new Redactor(this.#known);
    this.#add(name, what, redactor.text(text), redactor.count);
  }

  leaveOut(what: string, why: string): void {
    this.leftOut.push({ what, why: new Redactor(this.#known).text(why) });
  }

  #add(name: string, what: string, data: string, redacted: number): void {
    const bytes = Buffer.byteLength(data);
    const isTooLong = bytes > MAX_FILE_BYTES;
    if (isTooLong || this.#bytes + bytes > MAX_BYTES) {
      this.leaveOut(name, isTooLong ? `${bytes} bytes are more than one file may have` : 'the bundle is full');
      return;
    }
    this.#bytes += bytes;
    this.#contents.push({ name, data });
    this.files.push({ name, bytes, redacted, what });
  }

  /** @throws CliError OUTPUT_EXISTS, OUTPUT_NOT_WRITTEN. @returns the size of what was written */
  async write(file: string, head: object): Promise<number> {
    const manifest = { ...head, files: this.files, leftOut: this.leftOut };
    const contents = [{ name: 'manifest.json', data: `${JSON.stringify(manifest, null, 2)}\n` }, ...this.#contents];
    const root = 'lmas-support';
    const archive = await createTarGzip(
      contents.map(({ name, data }) => ({ name: `${root}/${name}`, data })),
      { attrs: { mode: '600', uid: 0, gid: 0 } },
    );
    await using target = await createPrivateFile(file);
    await target.write(archive);
    return archive.byteLength;
  }
}
