/**
 * The journal of one migration, as its run sees it: intent before creation, newest first on the way back.
 */
import { type JournalEntry, type JournalledResource, resourceKey } from '../migrations/journal-entry.ts';
import { now } from '../migrations/record.ts';

export class Journal {
  readonly #write: (entry: JournalEntry) => Promise<void>;
  readonly #entries: Map<string, JournalEntry>;

  constructor(entries: readonly JournalEntry[], write: (entry: JournalEntry) => Promise<void>) {
    this.#write = write;
    this.#entries = new Map(entries.map((entry) => [entry.key, entry]));
  }

  /** Writes the intent down; await it before making anything. Written again, it counts as made again. */
  async intend(resource: JournalledResource): Promise<void> {
    const key = resourceKey(resource);
    const sequence = this.#entries.get(key)?.sequence ?? this.#entries.size + 1;
    const entry: JournalEntry = { key, sequence, resource, intentAt: now(), releasedAt: null, leftAt: null };
    await this.#write(entry);
    this.#entries.set(key, entry);
  }

  async markReleased(resource: JournalledResource): Promise<void> {
    await this.#note(resource, { releasedAt: now() });
  }

  wasLeft(resource: JournalledResource): boolean {
    return (this.#entries.get(resourceKey(resource))?.leftAt ?? null) !== null;
  }

  /** It stays where it is, on purpose. Written again, the first time counts. */
  async markLeft(resource: JournalledResource): Promise<void> {
    const entry = this.#entries.get(resourceKey(resource));
    if (entry?.leftAt === null) await this.#note(resource, { leftAt: now() });
  }

  async #note(resource: JournalledResource, change: Partial<JournalEntry>): Promise<void> {
    const entry = this.#entries.get(resourceKey(resource));
    if (entry === undefined) return;
    const noted = { ...entry, ...change };
    await this.#write(noted);
    this.#entries.set(noted.key, noted);
  }

  /** Every line, as it stands. */
  entries(): JournalEntry[] {
    return [...this.#entries.values()];
  }

  /** What may still be there, newest first. */
  unreleased(): JournalledResource[] {
    return [...this.#entries.values()]
      .filter(({ releasedAt }) => releasedAt === null)
      .sort((a, b) => b.sequence - a.sequence)
      .map(({ resource }) => resource);
  }

  has(kind: JournalledResource['kind']): boolean {
    return this.unreleased().some((resource) => resource.kind === kind);
  }
}
