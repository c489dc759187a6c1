/**
 * Who may call which operation: one line for each of the OpenAPI document. An operation without a line is refused when
 * the server is built, so that nobody can forget one.
 *
 * Whether the thing that a call names may be seen is another question: its project decides, see access/scope.ts.
 */
import type { Role } from '../access/principal.ts';

export interface RouteAccess {
  /** The least role. */
  readonly role: Role;
  /** For callers who are bound to no project only: it touches what all projects share. */
  readonly wholeInstallation: boolean;
}

const least = (role: Role): RouteAccess => ({ role, wholeInstallation: false });
const leastForAll = (role: Role): RouteAccess => ({ role, wholeInstallation: true });

/** By operationId. `open` needs no login. */
export const ROUTE_ACCESS: Readonly<Record<string, RouteAccess | 'open'>> = {
  getHealth: 'open',
  getReadiness: 'open',
  getVersion: least('viewer'),
  getMetrics: leastForAll('viewer'),

  createMigration: least('operator'),
  listMigrations: least('viewer'),
  getMigration: least('viewer'),
  getMigrationLog: least('viewer'),
  watchMigration: least('viewer'),
  watchMigrations: least('viewer'),
  updateMigration: least('operator'),
  retryMigration: least('operator'),
  cancelMigration: least('operator'),
  checkMigration: least('operator'),

  createCredential: least('operator'),
  listCredentials: least('viewer'),
  getCredential: least('viewer'),
  deleteCredential: least('operator'),

  createSite: leastForAll('admin'),
  listSites: least('viewer'),
  getSite: least('viewer'),
  updateSite: leastForAll('admin'),
  deleteSite: leastForAll('admin'),
  pinSiteHostKeys: leastForAll('admin'),
  scanHostKeys: leastForAll('operator'),
  testLink: leastForAll('operator'),

  createEndpoint: leastForAll('admin'),
  listEndpoints: least('viewer'),
  getEndpoint: least('viewer'),
  updateEndpoint: leastForAll('admin'),
  testEndpoint: least('operator'),
  deleteEndpoint: leastForAll('admin'),
  pinEndpointHostKeys: leastForAll('admin'),
  getEndpointInventory: least('viewer'),
  listPlugins: least('viewer'),

  listGateways: least('viewer'),
  listLinks: leastForAll('viewer'),
  getLink: leastForAll('viewer'),
  updateLink: leastForAll('admin'),

  getQueue: leastForAll('viewer'),
  updateQueue: leastForAll('operator'),
  listQueuedMigrations: least('viewer'),
  getSiteLimits: leastForAll('viewer'),
  setSiteLimits: leastForAll('admin'),
  getEndpointLimits: leastForAll('viewer'),
  setEndpointLimits: leastForAll('admin'),

  createWebhook: least('operator'),
  listWebhooks: least('viewer'),
  getWebhook: least('viewer'),
  updateWebhook: least('operator'),
  rotateWebhookSecret: least('operator'),
  deleteWebhook: least('operator'),
  testWebhook: least('operator'),
  listWebhookDeliveries: least('viewer'),
  getWebhookDelivery: least('viewer'),
  redeliverWebhookDelivery: least('operator'),

  getCaller: least('viewer'),
  createApiKey: least('admin'),
  listApiKeys: least('admin'),
  getApiKey: least('admin'),
  rotateApiKey: least('admin'),
  revokeApiKey: least('admin'),

  createProject: leastForAll('admin'),
  listProjects: least('viewer'),
  getProject: least('viewer'),
  updateProject: leastForAll('admin'),
  deleteProject: leastForAll('admin'),

  listAuditEntries: least('admin'),

  getMasterKey: leastForAll('admin'),
  rotateMasterKey: leastForAll('admin'),
};
