import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { plural } from "@/shared/format";
import { bringBackAll, useDrafts } from "./drafts";

const SHOWN = 5;

/** Captions that were typed and could not be saved, wherever one is in the dataset. */
export function Unsaved(props: {
  datasetId: string;
  /** The picture that is open: its editor says it. */
  opened: string | undefined;
  open: (item: string) => void;
}) {
  const { datasetId, opened } = props;
  const queries = useQueryClient();
  useEffect(() => bringBackAll(queries, datasetId), [queries, datasetId]);
  const drafts = useDrafts((state) => state.drafts);
  const left = Object.values(drafts).filter(
    (each) =>
      each.datasetId === datasetId && each.item !== opened && (each.state === "stale" || each.state === "failed"),
  );
  const [first] = left;
  if (!first) return null;
  return (
    <Alert color="orange" title={`${plural(left.length, "caption")} not saved`} p="sm">
      <Stack gap="xs">
        <Text size="sm">
          {first.state === "failed"
            ? first.problem
            : "They were changed elsewhere meanwhile. Open each to choose which text stays."}
        </Text>
        <Group gap="xs">
          {left.slice(0, SHOWN).map((each) => (
            <Button key={each.item} size="xs" variant="default" onClick={() => props.open(each.item)}>
              {each.item}
            </Button>
          ))}
          {left.length > SHOWN && <Text size="sm">and {left.length - SHOWN} more</Text>}
        </Group>
      </Stack>
    </Alert>
  );
}
