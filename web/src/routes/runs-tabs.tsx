import { ScrollArea, Stack, Tabs } from "@mantine/core";
import { useEffect, useRef } from "react";
import type { RunDetail } from "@/api/generated/types.gen";
import { Checkpoints } from "@/features/results/checkpoints";
import { ConfigView } from "@/features/results/config-view";
import { Exports } from "@/features/results/exports";
import { FilesView } from "@/features/results/files-view";
import { LogView } from "@/features/results/log-view";
import type { LiveRun } from "@/features/runs/live-run";
import { SamplesView } from "@/features/samples/samples-view";
import { RunMetrics } from "./runs-metrics";
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
    [
      "checkpoints",
      "Checkpoints",
      () => (
        <Stack gap="md">
          <Exports runId={id} />
          <Checkpoints runId={id} />
        </Stack>
      ),
    ],
    ["metrics", "Metrics", () => <RunMetrics {...props} />],
    [
      "log",
      "Log",
      () => <LogView runId={id} find={search.find ?? ""} onFind={(find) => change({ find: find || undefined })} />,
    ],
    [
      "config",
      "Config",
      () => (
        <ConfigView
          runId={id}
          name={run.facts.name}
          against={search.against ?? "defaults"}
          onAgainst={(against) => change({ against: against === "defaults" ? undefined : against })}
        />
      ),
    ],
    [
      "files",
      "Files",
      () => (
        <FilesView
          runId={id}
          path={run.facts.path}
          folder={search.folder ?? ""}
          onFolder={(folder) => change({ folder: folder || undefined })}
        />
      ),
    ],
  ];
  const active = search.tab ?? "overview";
  const list = useRef<HTMLDivElement>(null);
  // On a phone there is no room for all: the open one is brought into view.
  useEffect(() => {
    list.current?.querySelector(`[data-tab="${active}"]`)?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [active]);
  return (
    <Tabs value={active} onChange={(tab) => open(tab === "overview" ? undefined : (tab as Tab))} keepMounted={false}>
      <ScrollArea type="never" offsetScrollbars={false}>
        <Tabs.List ref={list} style={{ flexWrap: "nowrap" }}>
          {tabs.map(([tab, label]) => (
            <Tabs.Tab key={tab} value={tab} data-tab={tab}>
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
