import "@mantine/spotlight/styles.css";
import { useMantineColorScheme } from "@mantine/core";
import { Spotlight, type SpotlightActionData, type SpotlightActionGroupData, spotlight } from "@mantine/spotlight";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { FolderOpen, Keyboard, Moon, Play, Rows3, Search, Settings, Sun, Upload } from "lucide-react";
import { useEffect, useState } from "react";
import { listDatasetsOptions, listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { ago, plural } from "@/shared/format";
import { stateWord } from "@/shared/jobs";
import { toggleHelp } from "./help-store";
import classes from "./palette.module.css";
import { useFieldActions } from "./palette-fields";
import { usePalette } from "./palette-store";
import { PLACES } from "./places";
import { SETTINGS_TABS, SETTINGS_TITLES, type SettingsTab } from "./searches";

const SHOWN = 8;
const LABEL = "Search runs, datasets, settings, pages and actions";

/** What else somebody may look for. */
const SETTINGS_WORDS: Record<SettingsTab, string> = {
  general: "theme notifications appearance",
  paths: "folders models datasets",
  tokens: "hugging face civitai wandb key",
  hardware: "gpu card doctor memory disk",
  access: "login logout password token",
  trash: "deleted restore",
};

/** Everything by its name: places, runs, datasets, settings, things to do. */
export default function Palette() {
  const navigate = useNavigate();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [query, setQuery] = useState("");
  const [isOpen, setOpen] = useState(false);
  const runs = useQuery({ ...listRunsOptions({ query: { limit: 200 } }), enabled: isOpen });
  const datasets = useQuery({ ...listDatasetsOptions(), enabled: isOpen });
  const asked = usePalette((state) => state.asked);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each time it is asked for
  useEffect(() => spotlight.toggle(), [asked]);

  const isDark = colorScheme === "dark";
  const groups: SpotlightActionGroupData[] = [
    {
      group: "Go to",
      actions: PLACES.map(({ to, label, icon: Icon }) =>
        action(`to ${to}`, label, <Icon size={18} />, () => void navigate({ to })),
      ),
    },
    {
      group: "Do",
      actions: [
        action("train", "Train a new LoRA", <Play size={18} />, () => void navigate({ to: "/train" }), "start new job"),
        action(
          "upload",
          "Upload pictures",
          <Upload size={18} />,
          () => void navigate({ to: "/datasets" }),
          "new dataset add import",
        ),
        action(
          "theme",
          isDark ? "Light theme" : "Dark theme",
          isDark ? <Sun size={18} /> : <Moon size={18} />,
          () => setColorScheme(isDark ? "light" : "dark"),
          "appearance colour",
        ),
        action("keys", "Show keyboard shortcuts", <Keyboard size={18} />, toggleHelp, "help"),
      ],
    },
    {
      group: "Runs",
      actions: (runs.data?.runs ?? []).map((run) => ({
        ...action(
          `run ${run.id}`,
          run.name,
          <Rows3 size={18} />,
          () => void navigate({ to: "/runs/$runId", params: { runId: run.id } }),
          run.tags.join(" "),
        ),
        description: `${stateWord(run.state).label}, ${ago(run.updated)}`,
      })),
    },
    {
      group: "Datasets",
      actions: (datasets.data?.datasets ?? []).map((each) => ({
        ...action(
          `dataset ${each.id}`,
          each.name,
          <FolderOpen size={18} />,
          () => void navigate({ to: "/datasets/$datasetId", params: { datasetId: each.id } }),
        ),
        description: each.summary ? plural(each.summary.pictures, "picture") : undefined,
      })),
    },
    {
      group: "Settings",
      actions: SETTINGS_TABS.map((tab) =>
        action(
          `settings ${tab}`,
          `Settings: ${SETTINGS_TITLES[tab]}`,
          <Settings size={18} />,
          () => void navigate({ to: "/settings", search: { tab } }),
          SETTINGS_WORDS[tab],
        ),
      ),
    },
  ];
  const fields = useFieldActions(isOpen, query);
  const shown = [...groups.map((each) => ({ ...each, actions: some(each.actions, query) })), fields].filter(
    (each) => each.actions.length > 0,
  );
  const ids = shown.flatMap((each) => each.actions.map(({ id }) => id)).join(" ");
  // biome-ignore lint/correctness/useExhaustiveDependencies: each time other things are found
  useEffect(() => {
    if (isOpen && query) chooseFirst();
  }, [ids]);
  return (
    <Spotlight
      actions={shown}
      filter={(_, all) => all}
      query={query}
      onQueryChange={setQuery}
      onSpotlightOpen={() => setOpen(true)}
      shortcut={null}
      nothingFound="Nothing has this name."
      highlightQuery
      classNames={{ actionsGroup: classes.group }}
      overlayProps={{ backgroundOpacity: 0.4, blur: 0 }}
      attributes={{ content: { "aria-label": "Search" } }}
      styles={{ actionDescription: { opacity: 0.92 } }}
      scrollable
      maxHeight="60vh"
      searchProps={{
        leftSection: <Search size={18} aria-hidden />,
        placeholder: LABEL,
        "aria-label": LABEL,
      }}
    />
  );
}

/** Spotlight chooses the first one when something is typed; what the server answers later it leaves unchosen. */
function chooseFirst(): void {
  const field = document.querySelector(`input[aria-label="${LABEL}"]`);
  const dialog = field?.closest("[role=dialog]");
  if (!dialog?.querySelector("[data-action]") || dialog.querySelector("[data-selected]")) return;
  field?.dispatchEvent(new KeyboardEvent("keydown", { code: "ArrowDown", bubbles: true }));
}

function action(
  id: string,
  label: string,
  icon: React.ReactNode,
  onClick: () => void,
  keywords = "",
): SpotlightActionData & { label: string } {
  return { id, label, leftSection: icon, onClick, keywords };
}

/** Those that have every word of what was typed somewhere; those whose name begins with it first. */
export function some<Each extends SpotlightActionData>(actions: readonly Each[], query: string): Each[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (each: Each) => `${each.label} ${each.description ?? ""} ${each.keywords ?? ""}`.toLowerCase();
  const found = actions.filter((each) => words.every((word) => text(each).includes(word)));
  const first = (each: Each) => (each.label?.toLowerCase().startsWith(words[0] ?? "") ? 0 : 1);
  return found.sort((a, b) => first(a) - first(b)).slice(0, SHOWN);
}
