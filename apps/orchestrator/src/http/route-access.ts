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
  getDiagnosis: leastForAll('viewer'),
  getSettings: leastForAll('admin'),
  getProcessLog: leastForAll('admin'),

  createMigration: least('operator'),
  listMigrations: least('viewer'),
  getMigration: least('viewer'),
  getMigrationLog: least('viewer'),
  watchMigration: least('viewer'),
  watchMigrations: least('viewer'),
  updateMigration: least('operator'),
  retryMigration: least('operator'),
  cancelMigration: least('operator'),
  giveUpTeardown: least('operator'),
  markDoneByHand: least('operator'),
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
  testGateway: leastForAll('operator'),
  scanHostKeys: leastForAll('operator'),
  testLink: leastForAll('operator'),

  createEndpoint: leastForAll('admin'),
  listEndpoints: least('viewer'),
  getEndpoint: least('viewer'),
  updateEndpoint: leastForAll('admin'),
  cordonEndpoint: leastForAll('operator'),
  uncordonEndpoint: leastForAll('operator'),
  testEndpoint: least('operator'),
  deleteEndpoint: leastForAll('admin'),
  pinEndpointHostKeys: leastForAll('admin'),
  getEndpointInventory: least('viewer'),
  listPlugins: least('viewer'),

  listGateways: least('viewer'),
  listLinks: leastForAll('viewer'),
  getLink: leastForAll('viewer'),
  updateLink: leastForAll('admin'),

  getLinkTimetable: leastForAll('viewer'),
  setLinkTimetable: leastForAll('admin'),
  deleteLinkTimetable: leastForAll('admin'),
  getQueueTimetable: leastForAll('viewer'),
  setQueueTimetable: leastForAll('operator'),
  deleteQueueTimetable: leastForAll('operator'),

  getQueue: leastForAll('viewer'),
  updateQueue: leastForAll('operator'),
  listQueuedMigrations: least('viewer'),
  getSiteLimits: leastForAll('viewer'),
  setSiteLimits: leastForAll('admin'),
  getEndpointLimits: leastForAll('viewer'),
  setEndpointLimits: leastForAll('admin'),

  putPlan: least('operator'),
  listPlans: least('viewer'),
  getPlan: least('viewer'),
  deletePlan: least('operator'),
  startPlanRun: least('operator'),
  evacuate: least('operator'),
  listPlanRuns: least('viewer'),
  getPlanRun: least('viewer'),
  watchPlanRun: least('viewer'),
  pausePlanRun: least('operator'),
  resumePlanRun: least('operator'),
  approvePlanRun: least('operator'),
  cancelPlanRun: least('operator'),
  retryPlanRun: least('operator'),
  failBackPlanRun: least('operator'),
  getPlanReport: least('viewer'),
  getPlanReportPage: least('viewer'),

  createSchedule: least('operator'),
  listSchedules: least('viewer'),
  getSchedule: least('viewer'),
  updateSchedule: least('operator'),
  deleteSchedule: least('operator'),
  pauseSchedule: least('operator'),
  resumeSchedule: least('operator'),
  runSchedule: least('operator'),
  previewSchedule: least('viewer'),
  previewNewSchedule: least('operator'),
  getScheduleHistory: least('viewer'),
  createBalancingPolicy: leastForAll('admin'),
  listBalancingPolicies: leastForAll('viewer'),
  getBalancingPolicy: leastForAll('viewer'),
  watchBalancingPolicy: leastForAll('viewer'),
  replaceBalancingPolicy: leastForAll('admin'),
  deleteBalancingPolicy: leastForAll('admin'),
  pauseBalancingPolicy: leastForAll('operator'),
  resumeBalancingPolicy: leastForAll('operator'),
  runBalancingPolicy: leastForAll('operator'),
  getBalancingRun: leastForAll('viewer'),
  listBalancingPasses: leastForAll('viewer'),
  listBalancingMoves: leastForAll('viewer'),
  approveBalancingMove: leastForAll('operator'),
  rejectBalancingMove: leastForAll('operator'),

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
