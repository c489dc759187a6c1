// Everything the lab can complain of, in one table. Callers compare `code`, never text.

export const LAB_ERRORS = {
  LAB_NOT_ROOT: 'the lab makes network namespaces and mounts: it needs root',
  LAB_TOOL_MISSING: 'a program that the lab needs is not installed',
  LAB_NAME_INVALID: 'a lab name is 1 to 12 lower-case letters and digits, a letter first',
  LAB_NOT_UP: 'no lab of this name is up',
  LAB_BUSY: 'another process is bringing this lab up or down',
  LAB_NO_ROOM: 'no free address range is left for another lab',
  LAB_COMMAND_FAILED: 'a command of the lab failed',
  LAB_TIMEOUT: 'something in the lab did not happen in time',
  LAB_MACHINE_DOWN: 'the machine is not running',
  LAB_BUILD_FAILED: 'a C program of the lab did not compile',
  LAB_LINK_REFUSED: 'the link emulator refused a request',
  LAB_GUEST_SILENT: 'the guest did not answer on its serial line',
  LAB_GUEST_REFUSED: 'the guest answered with an error',
  LAB_VM_UNKNOWN: 'the lab knows no such VM',
  LAB_VM_EXISTS: 'the lab has a VM of this name',
  LAB_VM_RUNS: 'the VM runs already',
  LAB_INTERRUPTED: 'bringing the lab up was interrupted',
  LAB_ARGUMENT: 'an argument is not usable',
} as const;

export type LabErrorCode = keyof typeof LAB_ERRORS;

export class LabError extends Error {
  readonly code: LabErrorCode;

  constructor(code: LabErrorCode, detail: string, options?: { cause?: unknown }) {
    super(`${LAB_ERRORS[code]}: ${detail}`, options);
    this.name = 'LabError';
    this.code = code;
  }
}
