/**
 * The newest lines that this process logged, for a report: warnings and errors apart from the rest, so that a busy API does
 * not push them out. Bounded in number and length; in memory, so a restart begins anew.
 */
import { z } from 'zod';

const LINES_OF_EACH = 500;
const LONGEST_LINE = 4_096;

const lineSchema = z.looseObject({ level: z.int(), time: z.number(), msg: z.string().default('') });
export type LogLine = z.infer<typeof lineSchema>;

export class RecentLog {
  readonly #grave: string[] = [];
  readonly #others: string[] = [];

  /** One line as pino wrote it: its level comes first. */
  write(line: string): void {
    if (line.length > LONGEST_LINE) return;
    const isGrave = line.startsWith('{"level":4') || line.startsWith('{"level":5') || line.startsWith('{"level":6');
    const lines = isGrave ? this.#grave : this.#others;
    lines.push(line);
    // In steps: moving half of them up for each line would cost more than it keeps.
    if (lines.length >= 2 * LINES_OF_EACH) lines.splice(0, LINES_OF_EACH);
  }

  /** The oldest first. */
  lines(): LogLine[] {
    const kept = [...this.#grave.slice(-LINES_OF_EACH), ...this.#others.slice(-LINES_OF_EACH)];
    return kept.map((line) => lineSchema.parse(JSON.parse(line))).sort((a, b) => a.time - b.time);
  }
}
