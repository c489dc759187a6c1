/** What a daemon answers instead of a result, with libvirt's number of the error. */
export class Refusal extends Error {
  readonly number: number;

  constructor(number: number, message: string) {
    super(message);
    this.number = number;
  }
}
