/** The service itself: what there is, who is logged in, what they may, which licences there are. */

import type { Call, Methods, VsphereEndpoint } from '../endpoint.ts';
import { VimFault } from '../fault.ts';
import { productOf, ROOT_FOLDER } from '../inventory/seed.ts';
import { fill } from '../schema/fill.ts';
import { type DataObject, listOf, type MoRef, moRef, textOf } from '../schema/value.ts';
import { now } from '../tasks.ts';
import { PERF_MANAGER, seedPerformance } from './performance.ts';

/** The references that vCenter has had for these in every version. */
const SINGLETONS: Readonly<Record<string, MoRef>> = {
  propertyCollector: moRef('PropertyCollector', 'propertyCollector'),
  viewManager: moRef('ViewManager', 'ViewManager'),
  sessionManager: moRef('SessionManager', 'SessionManager'),
  authorizationManager: moRef('AuthorizationManager', 'AuthorizationManager'),
  taskManager: moRef('TaskManager', 'TaskManager'),
  licenseManager: moRef('LicenseManager', 'LicenseManager'),
  searchIndex: moRef('SearchIndex', 'SearchIndex'),
  perfManager: PERF_MANAGER,
  vmProvisioningChecker: moRef('VirtualMachineProvisioningChecker', 'ProvChecker'),
  vmCompatibilityChecker: moRef('VirtualMachineCompatibilityChecker', 'CompatChecker'),
};
const SERVICE_INSTANCE = moRef('ServiceInstance', 'ServiceInstance');
const ASSIGNMENTS = moRef('LicenseAssignmentManager', 'LicenseAssignmentManager');
const LICENSE_FEATURES = ['vmotion', 'svmotion', 'crossvcvmotion', 'longdistvmotion'];

export function seedService(endpoint: VsphereEndpoint): void {
  const { objects, spec } = endpoint;
  const content = { rootFolder: ROOT_FOLDER, about: productOf(spec, spec.name, 'VirtualCenter'), ...SINGLETONS };
  objects.add(SERVICE_INSTANCE, {
    content,
    capability: { provisioningSupported: true, multiHostSupported: true, userShellAccessSupported: false },
    serverClock: now(),
  });
  for (const ref of Object.values(SINGLETONS)) objects.add(ref);
  seedPerformance(endpoint);
  const license = licenseOf(spec.licenseEdition, spec.licenseFeatures);
  objects.add(ASSIGNMENTS);
  objects.set(moRef('LicenseManager', 'LicenseManager'), {
    ...{ licenses: [license], licensedEdition: license.editionKey, licenseAssignmentManager: ASSIGNMENTS },
  });
}

function licenseOf(edition = 'Enterprise Plus', features: readonly string[] = LICENSE_FEATURES): DataObject {
  const editionKey = `esx.${edition.replace(/^\w/, (first) => first.toLowerCase()).replaceAll(' ', '')}`;
  return {
    ...{
      licenseKey: '00000-00000-00000-00000-00000',
      editionKey,
      name: `vSphere 8 ${edition}`,
      total: 0,
      costUnit: 'cpuPackage',
    },
    properties: features.map((key) => ({
      key: 'feature',
      value: { _typeName: 'KeyValue', key, value: key },
    })),
  };
}

function logIn({ endpoint, parameters, logIn: open }: Call): DataObject {
  const { login } = endpoint.spec;
  if (parameters.userName !== login.username || parameters.password !== login.password)
    throw new VimFault('InvalidLogin', {}, 'Cannot complete login due to an incorrect user name or password.');
  return open(login.username, textOf(parameters.locale)).user;
}

function isWithheld({ endpoint }: Call, entity: MoRef, privilege: string): boolean {
  const name = endpoint.objects.find(entity)?.properties.get('name');
  return (endpoint.spec.withheldPrivileges ?? []).some(
    (one) => one.privilege === privilege && (one.object === undefined || one.object === name),
  );
}

function privilegesOn(call: Call, entities: readonly MoRef[]): DataObject[] {
  return entities.map((entity) => {
    call.endpoint.objects.need(entity);
    const privAvailability = listOf<string>(call.parameters.privId).map((privId) => ({
      ...{ privId, isGranted: !isWithheld(call, entity, privId) },
    }));
    return { entity, privAvailability };
  });
}

export const SERVICE_METHODS: Methods = {
  'ServiceInstance.RetrieveServiceContent': ({ endpoint }) => endpoint.objects.get(SERVICE_INSTANCE, 'content'),
  'ServiceInstance.CurrentTime': () => now(),
  'SessionManager.Login': logIn,
  'SessionManager.Logout': ({ endpoint, session }) => {
    endpoint.sessions.end(session);
    return undefined;
  },
  'SessionManager.SessionIsActive': ({ endpoint, parameters }) => {
    const found = endpoint.sessions.byKey(String(parameters.sessionID));
    return found !== undefined && found.userName === parameters.userName;
  },
  'AuthorizationManager.HasPrivilegeOnEntities': (call) => {
    if (call.endpoint.sessions.byKey(String(call.parameters.sessionId)) === undefined)
      throw new VimFault('InvalidArgument', { invalidProperty: 'sessionId' });
    return privilegesOn(call, listOf<MoRef>(call.parameters.entity));
  },
  'AuthorizationManager.HasUserPrivilegeOnEntities': (call) =>
    privilegesOn(call, listOf<MoRef>(call.parameters.entities)),
  'LicenseAssignmentManager.QueryAssignedLicenses': ({ endpoint, parameters }) => {
    const entityId = textOf(parameters.entityId);
    const assignedLicense = licenseOf(endpoint.spec.licenseEdition, endpoint.spec.licenseFeatures);
    const hosts = endpoint.objects.all('HostSystem').map(({ ref }) => ref.value);
    const entities = entityId === undefined ? hosts : [entityId];
    return entities.map((id) =>
      fill(endpoint.schema, 'LicenseAssignmentManagerLicenseAssignment', { entityId: id, assignedLicense }),
    );
  },
};
