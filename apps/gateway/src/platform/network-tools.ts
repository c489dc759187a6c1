/**
 * nft(8) and ip(8), the kernel's own interface for packet rules and routes. Calls wait (a few milliseconds each): they are rare, and undoing must
 * work while the process ends, when nothing else can run any more.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export type Tool = 'nft' | 'ip';
/** Logins other than root's often lack the sbin directories in their PATH. */
const directories = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin', '/usr/bin', '/bin'];
const timeoutMs = 10_000;

export class ToolError extends Error {
  /** True when it is not installed. */
  readonly missing: boolean;
  constructor(tool: Tool, said: string, missing: boolean) {
    super(`${tool}: ${said}`);
    this.missing = missing;
  }
}

export function findTool(tool: Tool): string | null {
  for (const directory of directories) {
    const file = `${directory}/${tool}`;
    if (directory.startsWith('/') && existsSync(file)) return file;
  }
  return null;
}

/** What it printed. @throws ToolError with what it complained of */
export function runTool(tool: Tool, args: readonly string[], input = ''): string {
  const file = findTool(tool);
  if (file === null) throw new ToolError(tool, 'not found', true);
  const done = spawnSync(file, args, { input, encoding: 'utf8', timeout: timeoutMs, maxBuffer: 64 << 20 });
  if (done.status === 0) return done.stdout;
  throw new ToolError(tool, complaint(done.stderr, done.error), false);
}

/** The lines that say something; nft points at columns below them. */
function complaint(stderr: string | null, error: Error | undefined): string {
  const lines = (stderr ?? '').split('\n').filter((line) => /[A-Za-z]/.test(line));
  return lines.slice(0, 3).join('; ') || (error?.message ?? 'failed');
}
