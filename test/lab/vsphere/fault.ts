/** What vSphere answers a call with when it refuses, or a task ends with: a published fault type and its members. */
import type { DataObject, Value } from './schema/value.ts';

export class VimFault extends Error {
  /** The name of the published type, such as `InvalidLogin`. */
  readonly faultName: string;
  readonly fields: DataObject;

  constructor(faultName: string, fields: DataObject = {}, message: string = faultName) {
    super(message);
    this.faultName = faultName;
    this.fields = fields;
  }

  /** As `LocalizedMethodFault`, in tasks, check results and missing properties. */
  localized(): DataObject {
    return { fault: { _typeName: this.faultName, ...this.fields }, localizedMessage: this.message };
  }
}

export const notFound = (ref: Value): VimFault =>
  new VimFault(
    'ManagedObjectNotFound',
    { obj: ref },
    'The object has already been deleted or has not been completely created',
  );

/** @param property name of the parameter, as `spec.host` */
export const invalidArgument = (
  property: string,
  message = `A specified parameter was not correct: ${property}`,
): VimFault => new VimFault('InvalidArgument', { invalidProperty: property }, message);
