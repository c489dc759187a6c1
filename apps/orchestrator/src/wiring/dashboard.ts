/** The web page: where its files come from, and how it logs people in. */
import type { OidcConfig } from '../access/oidc-config.ts';
import type { Config } from '../config.ts';
import type { DashboardSettings } from '../http/dashboard.ts';

export function dashboardSettings({ dashboardDir }: Config, oidc: OidcConfig | undefined): DashboardSettings {
  const login = oidc?.page === undefined ? null : { issuer: oidc.issuer, ...oidc.page };
  return { directory: dashboardDir === undefined ? builtOnce() : async () => dashboardDir, login };
}

/** In a source tree: the page that its builder makes (and keeps) from apps/dashboard. */
function builtOnce(): () => Promise<string> {
  let built: Promise<string> | undefined;
  return async () => {
    built ??= build().catch((error: unknown) => {
      built = undefined; // the next reader tries again
      throw error;
    });
    return await built;
  };
}

async function build(): Promise<string> {
  const builder = new URL('../../../dashboard/build.ts', import.meta.url);
  const loaded = (await import(builder.href)) as { buildDashboard(): Promise<{ directory: string }> };
  return (await loaded.buildDashboard()).directory;
}
