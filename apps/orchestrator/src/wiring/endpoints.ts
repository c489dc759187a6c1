/** How this process reaches endpoints: runs over sessions of their own, questions over those that all of them share. */
import {
  createConnector,
  createLogIn,
  type RunConnector,
  registrationReader,
  verdictOfPlugin,
} from '../endpoints/connector.ts';
import { LoginGuard } from '../endpoints/login-guard.ts';
import { QuestionSessions } from '../endpoints/question-sessions.ts';
import { createQuestions, type Questions } from '../endpoints/questions.ts';
import type { PluginRegistry } from '../plugins/registry.ts';
import type { EndpointStore, Inventory } from '../sites/sites.ts';
import type { Base } from './base.ts';

export interface Reach {
  /** Over what the endpoints are read with. */
  connectorOver(inventory: Inventory): RunConnector;
  questionsOver(inventory: Inventory): Questions;
  /** What is changed or removed through these is noticed at once; what other processes do, soon. */
  noticing(endpoints: EndpointStore): EndpointStore;
  /** Sessions that are open for questions. */
  openByPlugin(): ReadonlyMap<string, number>;
}

/** @param calls what is read with it fails at once while Redis is away */
export function createReach({ config, log, closers }: Base, plugins: PluginRegistry, calls: Inventory): Reach {
  const logIn = createLogIn({ log, guard: new LoginGuard(config.loginRetryMs, verdictOfPlugin) });
  const readerOver = ({ endpoints, credentials }: Inventory) => registrationReader(endpoints, credentials, plugins);
  const sessions = new QuestionSessions({ logIn, readRegistration: readerOver(calls) });
  closers.add('sessions for questions', () => sessions.close());
  return {
    connectorOver: (inventory) =>
      createConnector(inventory.endpoints, plugins, { readRegistration: readerOver(inventory), logIn }),
    questionsOver: (inventory) => createQuestions(readerOver(inventory), sessions),
    noticing: (endpoints) => ({
      ...endpoints,
      async change(...args) {
        const changed = await endpoints.change(...args);
        void sessions.look();
        return changed;
      },
      async remove(id) {
        await endpoints.remove(id);
        void sessions.look();
      },
    }),
    openByPlugin: () => sessions.openByPlugin(),
  };
}
