/** From completed values (`schema/check.ts`) to SOAP, in the published order, with `xsi:type` wherever another type could stand. */
import { elementOfArray } from '../schema/check.ts';
import type { Field, Schema } from '../schema/schema.ts';
import { type DataObject, isMoRef, isObject, type Value } from '../schema/value.ts';

const OPEN = [
  '<?xml version="1.0" encoding="UTF-8"?>',
  '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"',
  ' xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>',
].join('');
const CLOSE = '</soapenv:Body></soapenv:Envelope>';

export function encodeResponse(schema: Schema, method: string, result: Value | undefined): string {
  const field = schema.method(method)?.result;
  const inside = result === undefined || field === undefined ? '' : encodeField(schema, field, result);
  return `${OPEN}<${method}Response xmlns="urn:vim25">${inside}</${method}Response>${CLOSE}`;
}

/** The detail's element is named after the fault that the method declares; every client goes by `xsi:type`. */
export function encodeFault(schema: Schema, fault: DataObject, message: string): string {
  const name = String(fault._typeName);
  const element = schema.derives(name, 'RuntimeFault') ? 'RuntimeFaultFault' : `${name}Fault`;
  const detail = `<${element} xmlns="urn:vim25" xsi:type="${name}">${membersOf(schema, fault)}</${element}>`;
  const said = `<faultcode>ServerFaultCode</faultcode><faultstring>${escapeText(message)}</faultstring>`;
  return `${OPEN}<soapenv:Fault>${said}<detail>${detail}</detail></soapenv:Fault>${CLOSE}`;
}

function encodeField(schema: Schema, field: Field, value: Value): string {
  const values = field.array ? (value as readonly Value[]) : [value];
  return values.map((item) => encodeValue(schema, field.name, field.type, item)).join('');
}

function encodeValue(schema: Schema, element: string, declared: string, value: Value): string {
  if (!isObject(value)) return `<${element}>${escapeText(String(value))}</${element}>`;
  const type = String(value._typeName);
  if (value._value !== undefined) return encodeBoxed(schema, element, type, value._value);
  const said = type === declared ? '' : ` xsi:type="${type}"`;
  if (isMoRef(value) && type === 'ManagedObjectReference')
    return `<${element} type="${escapeText(value.type)}"${said}>${escapeText(value.value)}</${element}>`;
  return `<${element}${said}>${membersOf(schema, value)}</${element}>`;
}

function encodeBoxed(schema: Schema, element: string, type: string, value: Value): string {
  const item = elementOfArray(schema, type);
  if (item === undefined) {
    const prefix = schema.isPrimitive(type) ? 'xsd:' : '';
    return `<${element} xsi:type="${prefix}${type}">${escapeText(String(value))}</${element}>`;
  }
  // Elements of an array that stands for anything say their type, too, as vCenter has it.
  const items = (value as readonly Value[]).map((one) =>
    encodeValue(schema, item.name, '', isObject(one) ? one : box(item.type, one)),
  );
  return `<${element} xsi:type="${type}">${items.join('')}</${element}>`;
}

const box = (type: string, value: Value): Value => ({ _typeName: type, _value: value });

function membersOf(schema: Schema, object: DataObject): string {
  const { fields = [] } = schema.type(String(object._typeName)) ?? {};
  return fields
    .map((field) => {
      const value = object[field.name];
      return value === undefined ? '' : encodeField(schema, field, value);
    })
    .join('');
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;',
};

const escapeText = (text: string): string => text.replace(/[&<>"\r]/g, (character) => ENTITIES[character] ?? character);
