/** What XAPI answers a call with when it refuses: a code of ocaml/xapi-consts/api_errors.ml and its parameters. */
export class Fault extends Error {
  readonly code: string;
  readonly params: readonly string[];

  constructor(code: string, ...params: readonly string[]) {
    super(`${code}(${params.join(', ')})`);
    this.code = code;
    this.params = params;
  }
}
