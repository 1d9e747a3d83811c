import { Button, CloseButton, Group, Paper, Text, Tooltip } from "@mantine/core";
import { useQueries, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { GitCompareArrows, Trash2 } from "lucide-react";
import { useState } from "react";
import { getRunOptions, listJobsQueryKey, listRunsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { problemOf } from "@/api/problem";
import { askDelete } from "@/shared/delete-dialog";
import { plural } from "@/shared/format";
import { isActive } from "@/shared/run-states";
import { removeRun } from "./remove-run";
import classes from "./runs.module.css";

/** As many as the page that compares them takes. */
const MOST = 8;

/** What can be done with the runs that are selected, those on other pages of the list included. */
export function Picked({ ids, clear }: { ids: readonly string[]; clear: () => void }) {
  const queries = useQueryClient();
  const [isLeaving, setLeaving] = useState(false);
  const found = useQueries({
    queries: ids.map((id) => ({ ...getRunOptions({ path: { run_id: id } }), enabled: !isLeaving })),
  });
  const isGone = (place: number) => problemOf(found[place]?.error).status === 404;
  const there = ids.filter((_, place) => !found[place]?.error || !isGone(place));
  const facts = found.flatMap((each) => (each.data ? [each.data.facts] : []));
  const working = facts.filter((each) => isActive(each.state));
  const size = facts.reduce((sum, each) => sum + (each.bytes ?? 0), 0);
  const refresh = async () => {
    void queries.invalidateQueries({ queryKey: listJobsQueryKey() });
    await queries.invalidateQueries({ queryKey: listRunsQueryKey() });
  };
  const remove = () =>
    askDelete({
      what: there.length === 1 && facts[0] ? `the run ${facts[0].name}` : plural(there.length, "run"),
      about: `${there.length === 1 ? "Its" : "Their"} samples, checkpoints and LoRA files go, too.`,
      bytes: facts.length === there.length ? size : null,
      remove: async () => {
        const trashed = [];
        setLeaving(true); // nobody asks for what is about to go
        try {
          for (const id of there) trashed.push(await removeRun(id));
        } catch (error) {
          setLeaving(false);
          await refresh();
          throw error;
        }
        clear();
        await refresh();
        return trashed;
      },
      onRestored: () => void refresh(),
    });
  const isMany = there.length > MOST;
  return (
    <Paper withBorder p="xs" className={classes.picked} role="region" aria-label="Selected runs">
      <Group gap="sm" justify="center">
        <Text size="sm" fw={600} ml="xs">
          {there.length} selected
          {there.length < ids.length && `, ${ids.length - there.length} deleted meanwhile`}
        </Text>
        {there.length > 1 && !isMany && (
          <Button
            size="xs"
            renderRoot={(props) => <Link {...props} to="/runs/compare" search={{ ids: there }} />}
            leftSection={<GitCompareArrows size={16} aria-hidden />}
          >
            Compare
          </Button>
        )}
        {isMany && (
          <Text size="xs" c="dimmed">
            Up to {MOST} can be compared
          </Text>
        )}
        <Tooltip
          label={`${working.map((each) => each.name).join(", ")} still works: stop it first`}
          disabled={!working.length}
        >
          <Button
            size="xs"
            variant="default"
            leftSection={<Trash2 size={16} aria-hidden />}
            onClick={working.length > 0 ? undefined : remove}
            disabled={!there.length}
            data-disabled={working.length > 0 || undefined}
            aria-disabled={working.length > 0 || undefined}
          >
            Delete
          </Button>
        </Tooltip>
        <CloseButton aria-label="Select none" onClick={clear} />
      </Group>
    </Paper>
  );
}
