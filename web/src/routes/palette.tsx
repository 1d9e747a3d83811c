import { useMantineColorScheme } from "@mantine/core";
import { Spotlight, type SpotlightActionData, type SpotlightActionGroupData, spotlight } from "@mantine/spotlight";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { FolderOpen, Keyboard, Moon, Play, Rows3, Search, Sun, Upload } from "lucide-react";
import { useState } from "react";
import { listDatasetsOptions, listRunsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { ago, plural } from "@/shared/format";
import { stateWord } from "@/shared/jobs";
import { useShortcut } from "@/shared/shortcuts";
import { toggleHelp } from "./help-sheet";
import { PLACES } from "./places";

const SHOWN = 8;

/** Everything by its name: places, runs, datasets, things to do. */
export function Palette() {
  const navigate = useNavigate();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [query, setQuery] = useState("");
  const [isOpen, setOpen] = useState(false);
  const runs = useQuery({ ...listRunsOptions({ query: { limit: 200 } }), enabled: isOpen });
  const datasets = useQuery({ ...listDatasetsOptions(), enabled: isOpen });
  useShortcut("mod+k", "Search and commands", () => spotlight.toggle(), { group: "Everywhere", whileTyping: true });

  // Routes of other features: their addresses are what the palette knows of them.
  const go = (to: string) => () => void navigate({ to });
  const isDark = colorScheme === "dark";
  const groups: SpotlightActionGroupData[] = [
    {
      group: "Go to",
      actions: PLACES.map(({ to, label, icon: Icon }) => action(`to ${to}`, label, <Icon size={18} />, go(to))),
    },
    {
      group: "Do",
      actions: [
        action("train", "Train a new LoRA", <Play size={18} />, go("/train"), "start new job"),
        action("upload", "Upload pictures", <Upload size={18} />, go("/datasets"), "new dataset add import"),
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
        ...action(`run ${run.id}`, run.name, <Rows3 size={18} />, go(`/runs/${run.id}`), run.tags.join(" ")),
        description: `${stateWord(run.state).label}, ${ago(run.updated)}`,
      })),
    },
    {
      group: "Datasets",
      actions: (datasets.data?.datasets ?? []).map((each) => ({
        ...action(`dataset ${each.id}`, each.name, <FolderOpen size={18} />, go(`/datasets/${each.id}`)),
        description: each.summary ? plural(each.summary.pictures, "picture") : undefined,
      })),
    },
  ];
  return (
    <Spotlight
      actions={groups
        .map((each) => ({ ...each, actions: some(each.actions, query) }))
        .filter((each) => each.actions.length > 0)}
      filter={(_, all) => all}
      query={query}
      onQueryChange={setQuery}
      onSpotlightOpen={() => setOpen(true)}
      shortcut={null}
      nothingFound="Nothing has this name."
      highlightQuery
      scrollable
      maxHeight="60vh"
      searchProps={{
        leftSection: <Search size={18} aria-hidden />,
        placeholder: "Search runs, datasets, pages and actions",
        "aria-label": "Search runs, datasets, pages and actions",
      }}
    />
  );
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
