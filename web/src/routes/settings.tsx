import { Stack, Tabs } from "@mantine/core";
import { createLazyRoute } from "@tanstack/react-router";
import { Access } from "@/features/settings/access";
import { General } from "@/features/settings/general";
import { Hardware } from "@/features/settings/hardware";
import { Paths } from "@/features/settings/paths";
import { Tokens } from "@/features/settings/tokens";
import { Trash } from "@/features/settings/trash";
import { SystemCard } from "@/features/system/system-card";
import { PageHead } from "@/shared/page-head";
import { SETTINGS_TABS, SETTINGS_TITLES, type SettingsTab } from "./searches";
import classes from "./settings.module.css";

export const Route = createLazyRoute("/settings")({ component: Settings });

function Settings() {
  const { tab = "general" } = Route.useSearch();
  const navigate = Route.useNavigate();
  return (
    <Stack gap="lg">
      <PageHead title="Settings" />
      <Tabs
        value={tab}
        onChange={(value) => void navigate({ search: { tab: value as SettingsTab }, replace: true })}
        keepMounted={false}
      >
        <Tabs.List className={classes.tabs} aria-label="Settings">
          {SETTINGS_TABS.map((each) => (
            <Tabs.Tab key={each} value={each}>
              {SETTINGS_TITLES[each]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <div className={classes.panel}>
          <Tabs.Panel value="general">
            <General />
          </Tabs.Panel>
          <Tabs.Panel value="paths">
            <Paths />
          </Tabs.Panel>
          <Tabs.Panel value="tokens">
            <Tokens />
          </Tabs.Panel>
          <Tabs.Panel value="hardware">
            <Stack gap="lg">
              <Hardware />
              <SystemCard />
            </Stack>
          </Tabs.Panel>
          <Tabs.Panel value="access">
            <Access />
          </Tabs.Panel>
          <Tabs.Panel value="trash">
            <Trash />
          </Tabs.Panel>
        </div>
      </Tabs>
    </Stack>
  );
}
