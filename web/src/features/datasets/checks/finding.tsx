import { Checkbox, Stack, Text } from "@mantine/core";
import type { ListFindingsResponse } from "@/api/generated/types.gen";
import { fileName } from "../addresses";
import { Thumb } from "../thumb";
import classes from "./checks.module.css";

export type FindingOut = ListFindingsResponse["findings"][number];

/** One finding: its pictures or files, each of which can be ticked. */
export function Finding(props: {
  datasetId: string;
  finding: FindingOut;
  isPicture: boolean;
  isTicked: ((item: string, place: number) => boolean) | null;
  tick: (item: string, on: boolean) => void;
  open: (item: string) => void;
}) {
  const { finding } = props;
  return (
    <div className={classes.finding}>
      {finding.items.map((item, place) => (
        <Stack key={item} gap={4} className={props.isPicture ? classes.picture : undefined}>
          {props.isPicture && (
            <button
              type="button"
              className={classes.thumb}
              onClick={() => props.open(item)}
              aria-label={`Open ${item}`}
            >
              <Thumb datasetId={props.datasetId} item={item} size={256} fit="contain" />
            </button>
          )}
          {props.isTicked ? (
            <Checkbox
              size="xs"
              label={props.isPicture ? fileName(item) : item}
              checked={props.isTicked(item, place)}
              onChange={(event) => props.tick(item, event.currentTarget.checked)}
              styles={{ label: { overflowWrap: "anywhere" } }}
            />
          ) : (
            <Text size="xs" truncate title={item}>
              {fileName(item)}
            </Text>
          )}
        </Stack>
      ))}
      {finding.reason && (
        <Text size="xs" c="dimmed" className={classes.reason}>
          {finding.reason}
        </Text>
      )}
    </div>
  );
}
