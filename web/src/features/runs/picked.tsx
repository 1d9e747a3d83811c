import { Button, CloseButton, Group, Paper, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { GitCompareArrows, Trash2 } from "lucide-react";
import { listRunsQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { askDelete } from "@/shared/delete-dialog";
import { plural } from "@/shared/format";
import { removeRun } from "./remove-run";
import classes from "./runs.module.css";

/** What can be done with the runs that are selected. */
export function Picked({ ids, clear }: { ids: readonly string[]; clear: () => void }) {
  const queries = useQueryClient();
  const refresh = () => queries.invalidateQueries({ queryKey: listRunsQueryKey() });
  const remove = () =>
    askDelete({
      what: plural(ids.length, "run"),
      about: "Their samples, checkpoints and LoRA files go with them.",
      remove: async () => {
        const trashed = [];
        for (const id of ids) trashed.push(await removeRun(id));
        clear();
        await refresh();
        return trashed;
      },
      onRestored: refresh,
    });
  return (
    <Paper withBorder p="xs" className={classes.picked} role="region" aria-label="Selected runs">
      <Group gap="sm">
        <Text size="sm" fw={600} ml="xs">
          {ids.length} selected
        </Text>
        {ids.length > 1 && (
          <Button
            size="xs"
            renderRoot={(props) => <Link {...props} to="/runs/compare" search={{ ids: [...ids] }} />}
            leftSection={<GitCompareArrows size={16} aria-hidden />}
          >
            Compare
          </Button>
        )}
        <Button size="xs" variant="default" leftSection={<Trash2 size={16} aria-hidden />} onClick={remove}>
          Delete
        </Button>
        <CloseButton aria-label="Select none" onClick={clear} />
      </Group>
    </Paper>
  );
}
