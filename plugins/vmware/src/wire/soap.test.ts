import assert from 'node:assert/strict';
import { test } from 'node:test';
import { data, type Ref } from './data-objects.ts';
import { decodeAnswer, encodeCall } from './soap.ts';

const vm: Ref = { type: 'VirtualMachine', value: 'vm-12' };
const host: Ref = { type: 'HostSystem', value: 'host-9' };

/** As vim25's WSDL has it: the elements of a VirtualMachineRelocateSpec in their order, whatever order they were given in. */
test('a call: elements in the published order, types told, text escaped', () => {
  const credential = data('ServiceLocatorNamePassword', { username: 'VSPHERE.LOCAL\\ops', password: 'a<b&"c' });
  const service = data('ServiceLocator', {
    instanceUuid: 'u-1',
    url: 'https://vc2/sdk',
    credential,
    sslThumbprint: 'AA:BB',
  });
  const spec = data('VirtualMachineRelocateSpec', { host, service, datastore: undefined, disk: [] });
  assert.equal(
    encodeCall(vm, 'RelocateVM_Task', { priority: 'highPriority', spec }),
    '<?xml version="1.0" encoding="UTF-8"?>' +
      '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">' +
      '<soapenv:Body><RelocateVM_Task xmlns="urn:vim25"><_this type="VirtualMachine">vm-12</_this>' +
      '<spec xsi:type="VirtualMachineRelocateSpec"><service xsi:type="ServiceLocator"><instanceUuid>u-1</instanceUuid><url>https://vc2/sdk</url>' +
      '<credential xsi:type="ServiceLocatorNamePassword"><username>VSPHERE.LOCAL\\ops</username><password>a&lt;b&amp;&quot;c</password></credential>' +
      '<sslThumbprint>AA:BB</sslThumbprint></service><host type="HostSystem">host-9</host></spec>' +
      '<priority>highPriority</priority></RelocateVM_Task></soapenv:Body></soapenv:Envelope>',
  );
});

test('what no table knows is not sent', () => {
  const spec = { _typeName: 'VirtualMachineRelocateSpec', hots: host } as never;
  assert.throws(() => encodeCall(vm, 'RelocateVM_Task', { spec }), /no field hots/);
  assert.throws(() => encodeCall(vm, 'RelocateVM_Task', { spec: { _typeName: 'Strange' } }), /no data object Strange/);
});

const envelope = (body: string): string =>
  `<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>${body}</soapenv:Body></soapenv:Envelope>`;

test('an answer: references, lists, primitives in `any`, objects of which nothing is set', () => {
  const xml = envelope(
    '<RetrievePropertiesExResponse xmlns="urn:vim25"><returnval><objects><obj type="VirtualMachine">vm-12</obj>' +
      '<propSet><name>name</name><val xsi:type="xsd:string">a &amp; b</val></propSet>' +
      '<propSet><name>n</name><val xsi:type="xsd:long">4294967296</val></propSet>' +
      '<propSet><name>on</name><val xsi:type="VirtualMachinePowerState">poweredOn</val></propSet>' +
      '<propSet><name>template</name><val xsi:type="xsd:boolean">false</val></propSet>' +
      '<propSet><name>task</name><val xsi:type="ArrayOfManagedObjectReference"><ManagedObjectReference type="Task" xsi:type="ManagedObjectReference">task-1</ManagedObjectReference></val></propSet>' +
      '<propSet><name>none</name><val xsi:type="ArrayOfString"/></propSet>' +
      '<propSet><name>fault</name><val xsi:type="NotAuthenticated"/></propSet>' +
      '</objects></returnval></RetrievePropertiesExResponse>',
  );
  const reference = (type: string, value: string) => ({ _typeName: 'ManagedObjectReference', type, value });
  assert.deepEqual(decodeAnswer(xml), {
    value: {
      objects: {
        obj: reference('VirtualMachine', 'vm-12'),
        propSet: [
          { name: 'name', val: 'a & b' },
          { name: 'n', val: 4_294_967_296 },
          { name: 'on', val: 'poweredOn' },
          { name: 'template', val: false },
          { name: 'task', val: [reference('Task', 'task-1')] },
          { name: 'none', val: [] },
          { name: 'fault', val: { _typeName: 'NotAuthenticated' } },
        ],
      },
    },
  });
  assert.deepEqual(decodeAnswer(envelope('<LogoutResponse xmlns="urn:vim25"/>')), { value: undefined });
});

test('a fault: its type by xsi:type, else by its element', () => {
  const fault = (detail: string) =>
    decodeAnswer(
      envelope(
        `<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail>${detail}</detail></soapenv:Fault>`,
      ),
    );
  const typed =
    '<NoPermissionFault xmlns="urn:vim25" xsi:type="NoPermission"><object type="Folder">group-d1</object><privilegeId>System.Read</privilegeId></NoPermissionFault>';
  assert.deepEqual(fault(typed), {
    fault: {
      name: 'NoPermission',
      message: 'no',
      detail: {
        _typeName: 'NoPermission',
        object: { _typeName: 'ManagedObjectReference', type: 'Folder', value: 'group-d1' },
        privilegeId: 'System.Read',
      },
    },
  });
  const { fault: untyped } = fault('<InvalidLoginFault xmlns="urn:vim25"/>') as { fault: { name: string } };
  assert.equal(untyped.name, 'InvalidLogin');
});

test('a device goes back as it came, with its new backing in the published order', () => {
  const card =
    '<device xsi:type="VirtualVmxnet3"><key>4000</key><deviceInfo xsi:type="Description"><label>Network adapter 1</label><summary>VM Network</summary></deviceInfo>' +
    '<backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>VM Network</deviceName></backing><controllerKey>100</controllerKey><addressType>assigned</addressType></device>';
  const answer = decodeAnswer(envelope(`<R xmlns="urn:vim25"><returnval>${card}</returnval></R>`));
  const { device } = (answer as { value: { device: Record<string, unknown> } }).value;
  const network: Ref = { type: 'Network', value: 'network-7' };
  const backing = { _typeName: 'VirtualEthernetCardNetworkBackingInfo', network, deviceName: 'dmz' };
  const change = data('VirtualDeviceConfigSpec', { operation: 'edit', device: { ...device, backing } });
  const spec = data('VirtualMachineRelocateSpec', { deviceChange: [change] });
  const sent = encodeCall(vm, 'RelocateVM_Task', { spec });
  const before =
    '<backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>VM Network</deviceName></backing>';
  const after =
    '<backing xsi:type="VirtualEthernetCardNetworkBackingInfo"><deviceName>dmz</deviceName><network type="Network">network-7</network></backing>';
  assert.ok(sent.includes(card.replace(before, after)), sent);
});

test('what is no SOAP answer is refused, and no entity is expanded', () => {
  for (const xml of ['', '<html><body>502</body></html>', '<a><b></a>', envelope('')]) {
    assert.throws(() => decodeAnswer(xml), Error, xml);
  }
  const bomb = `<!DOCTYPE x [<!ENTITY a "aaaa">]>${envelope('<R xmlns="urn:vim25"><returnval>&a;</returnval></R>').replace('<?xml version="1.0"?>', '')}`;
  assert.throws(() => decodeAnswer(bomb));
});
