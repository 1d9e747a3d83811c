import { ScrollArea, Tabs } from "@mantine/core";
import type { RunDetail } from "@/api/generated/types.gen";
import type { LiveRun } from "@/features/runs/live-run";
import { SamplesView } from "@/features/samples/samples-view";
import { RunOverview } from "./runs-overview";
import type { RUN_TABS, RunSearch } from "./runs-search";

export interface TabProps {
  run: RunDetail;
  live: LiveRun;
  search: RunSearch;
  change: (next: RunSearch) => void;
  open: (tab: RunSearch["tab"]) => void;
}

type Tab = (typeof RUN_TABS)[number];

export function RunTabs(props: TabProps) {
  const { run, search, change, open } = props;
  const { id } = run.facts;
  const tabs: [Tab, string, () => React.ReactNode][] = [
    ["overview", "Overview", () => <RunOverview {...props} />],
    ["samples", "Samples", () => <SamplesView runId={id} search={search} onChange={change} />],
  ];
  const active = search.tab ?? "overview";
  return (
    <Tabs value={active} onChange={(tab) => open(tab === "overview" ? undefined : (tab as Tab))} keepMounted={false}>
      <ScrollArea type="never" offsetScrollbars={false}>
        <Tabs.List style={{ flexWrap: "nowrap" }}>
          {tabs.map(([tab, label]) => (
            <Tabs.Tab key={tab} value={tab}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </ScrollArea>
      {tabs.map(([tab, , content]) => (
        <Tabs.Panel key={tab} value={tab} pt="md">
          {content()}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
