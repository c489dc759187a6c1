/** What the exit code says, for scripts; shown at the end of `lmas --help`. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  locationUnknown: 5,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_CODE_HELP = `Exit codes:
  0    done; with --watch: what was followed ended as wanted
  1    the operation was carried out and failed, or a check found a blocker
  2    wrong usage: a flag, a value or a file; nothing was sent
  3    the orchestrator cannot be reached or is not ready
  4    the orchestrator refused: not valid, wrong key, no such thing, conflict
  5    nobody knows where the VM runs, or it runs at both ends: act by hand
  130  interrupted (Ctrl-C); what was being followed goes on`;
