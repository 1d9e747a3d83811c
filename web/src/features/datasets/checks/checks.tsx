import { Alert, Badge, Button, Grid, Group, NumberInput, Stack, Text, UnstyledButton } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleCheck } from "lucide-react";
import { useState } from "react";
import { getChecksOptions } from "@/api/generated/@tanstack/react-query.gen";
import { cancelTask, startChecks } from "@/api/generated/sdk.gen";
import type { ToUtf8 } from "@/api/generated/types.gen";
import { count, plural } from "@/shared/format";
import { RowSkeletons } from "@/shared/skeletons";
import { Empty, Failed } from "@/shared/states";
import { TaskProgress } from "../task-progress";
import { isOver } from "../use-task";
import classes from "./checks.module.css";
import { Findings } from "./findings";
import { KINDS, type Kind } from "./kinds";

const EVERY_MS = 1_000;

/** What may be wrong with a dataset: counts of every kind, and each finding with what mends it. */
export function Checks(props: {
  datasetId: string;
  root: string;
  folder: string;
  kind: string | undefined;
  setKind: (kind: Kind) => void;
  open: (item: string) => void;
  editAll: (items: string[], operation?: ToUtf8) => void;
}) {
  const path = { dataset_id: props.datasetId };
  const queries = useQueryClient();
  const [smallest, setSmallest] = useState(512);
  const query = { smallest_side: smallest };
  const options = getChecksOptions({ path, query });
  const { data, error, isPending, refetch } = useQuery({
    ...options,
    refetchInterval: ({ state }) => (state.data?.task && !isOver(state.data.task) ? EVERY_MS : false),
  });
  const again = () => queries.invalidateQueries({ queryKey: [{ _id: "getChecks" }] });
  const start = useMutation({ mutationFn: () => startChecks({ path }), onSuccess: again });
  const stop = useMutation({
    mutationFn: (task: string) => cancelTask({ path: { task_id: task } }),
    onSuccess: again,
  });
  if (isPending) return <RowSkeletons what="the checks" rows={8} height={40} />;
  if (error) return <Failed error={error} again={refetch} />;
  const { task } = data;
  const counts = new Map(data.checks.map((check) => [check.kind, check]));
  const shown = KINDS.find((each) => each.kind === props.kind) ?? KINDS.find((each) => counts.get(each.kind)?.findings);
  const left = data.pictures - data.examined;
  return (
    <Stack gap="md">
      {task && !isOver(task) ? (
        <TaskProgress
          task={task}
          what="Reading every picture for duplicates, look-alikes and blur"
          action={
            <Button size="compact-xs" variant="default" onClick={() => stop.mutate(task.id)} loading={stop.isPending}>
              Stop
            </Button>
          }
        />
      ) : (
        left > 0 && (
          <Alert color="blue" p="sm">
            <Group justify="space-between">
              <Text size="sm">
                {plural(left, "picture was", "pictures were")} not read yet: duplicates, look-alikes and blur are only
                known of the others.
              </Text>
              <Button size="xs" onClick={() => start.mutate()} loading={start.isPending}>
                Look for them
              </Button>
            </Group>
          </Alert>
        )
      )}
      <Grid gap="lg">
        <Grid.Col span={{ base: 12, sm: 4, lg: 3 }}>
          <nav className={classes.kinds} aria-label="Kinds of findings">
            {KINDS.map((each) => {
              const check = counts.get(each.kind);
              return (
                <UnstyledButton
                  key={each.kind}
                  className={classes.kind}
                  aria-current={shown?.kind === each.kind}
                  onClick={() => props.setKind(each.kind)}
                >
                  <Text size="sm">{each.label}</Text>
                  <Badge
                    variant={check?.findings ? "light" : "transparent"}
                    color={check?.findings ? (each.kind === "odd_files" ? "gray" : "orange") : "gray"}
                    className="numbers"
                    styles={{ label: { color: "var(--mantine-color-text)" } }}
                  >
                    {check?.complete || check?.findings ? count(check.findings) : "?"}
                  </Badge>
                </UnstyledButton>
              );
            })}
          </nav>
          <NumberInput
            mt="md"
            size="xs"
            label="Too small is below"
            description="Pixels of the shorter side"
            min={1}
            max={16384}
            step={64}
            value={smallest}
            onChange={(value) => typeof value === "number" && value >= 1 && setSmallest(value)}
          />
        </Grid.Col>
        <Grid.Col span={{ base: 12, sm: 8, lg: 9 }}>
          {shown ? (
            <Findings
              key={shown.kind}
              datasetId={props.datasetId}
              root={props.root}
              folder={props.folder}
              shown={shown}
              limits={query}
              open={props.open}
              editAll={props.editAll}
            />
          ) : (
            <Empty icon={CircleCheck} title="Nothing is wrong">
              {left > 0 ? "As far as the pictures were read." : "Every picture was read."}
            </Empty>
          )}
        </Grid.Col>
      </Grid>
    </Stack>
  );
}
