/** The logins of a pool. XAPI keeps them in memory, so they are gone with its tool stack; each has a UUID, which gives no right by itself. */
import { randomUUID } from 'node:crypto';
import { Fault } from './fault.ts';

export class Sessions {
  /** By reference: uuid. */
  readonly #uuids = new Map<string, string>();

  open(): string {
    const ref = `OpaqueRef:${randomUUID()}`;
    this.#uuids.set(ref, randomUUID());
    return ref;
  }

  has(ref: unknown): ref is string {
    return typeof ref === 'string' && this.#uuids.has(ref);
  }

  end(ref: string): void {
    this.#uuids.delete(ref);
  }

  endAll(): void {
    this.#uuids.clear();
  }

  get count(): number {
    return this.#uuids.size;
  }

  /** @throws Fault */
  uuidOf(ref: string): string {
    const uuid = this.#uuids.get(ref);
    if (uuid === undefined) throw new Fault('HANDLE_INVALID', 'session', ref);
    return uuid;
  }

  /** @throws Fault */
  byUuid(uuid: string): string {
    const [ref] = [...this.#uuids].find(([, known]) => known === uuid) ?? [];
    if (ref === undefined) throw new Fault('UUID_INVALID', 'session', uuid);
    return ref;
  }
}
