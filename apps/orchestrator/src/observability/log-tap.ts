/**
 * Lets whoever wants to hear the log lines of one migration, as they leave the process: after redaction, and whichever part
 * of the orchestrator wrote them. A line belongs to a migration when it says so in its field `migration`.
 */

export class LogTap {
  readonly #listeners = new Map<string, (line: string) => void>();

  /** For pino's multistream: one line of JSON at a time. Costs next to nothing while nobody listens. */
  write(line: string): void {
    if (this.#listeners.size === 0) return;
    const id = /"migration":"(m_[0-9a-f-]{36})"/.exec(line)?.[1];
    if (id !== undefined) this.#listeners.get(id)?.(line);
  }

  /** Dispose of it to stop. One listener for each migration: the newest counts. */
  listen(migration: string, listener: (line: string) => void): Disposable {
    this.#listeners.set(migration, listener);
    return {
      [Symbol.dispose]: () => {
        if (this.#listeners.get(migration) === listener) this.#listeners.delete(migration);
      },
    };
  }
}
