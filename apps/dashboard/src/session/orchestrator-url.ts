/** The orchestrator serves this page one level below its own root, wherever a proxy puts that. */
export const orchestratorUrl = new URL('..', document.baseURI).href.replace(/\/$/, '');
