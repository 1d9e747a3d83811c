import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import type { Problem } from "@/api/problem";
import type { FindingOut } from "./use-server-says";

export interface StartWish {
  hold?: boolean;
  top?: boolean;
  numbered?: boolean;
  anyway?: boolean;
  queue?: string;
}

/** Why it was not started, with the ways on. */
export function StartProblem(props: { problem: Problem; go: (more: StartWish) => void; jump: (path: string) => void }) {
  const { problem, go, jump } = props;
  const isTaken = problem.code === "name_taken";
  const field = findingsOf(problem).flatMap((each) => each.fields)[0];
  return (
    <Alert color={isTaken ? "orange" : "red"} title={isTaken ? "The name is taken" : "It was not started"} p="sm">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{problem.message}</Text>
        <Group gap="xs">
          {isTaken && (
            <Button size="compact-sm" onClick={() => go({ numbered: true })}>
              Add a number
            </Button>
          )}
          {isTaken && (
            <Button size="compact-sm" variant="default" onClick={() => jump("name")}>
              Change the name
            </Button>
          )}
          {field && (
            <Button size="compact-sm" variant="default" onClick={() => jump(field)}>
              Show it
            </Button>
          )}
          {problem.code === "job_has_errors" && (
            <Button size="compact-sm" variant="default" onClick={() => go({ anyway: true })}>
              Start anyway
            </Button>
          )}
        </Group>
      </Stack>
    </Alert>
  );
}

/** What the server found when it was asked to start: the same as a check finds. */
export function findingsOf(problem: Problem): readonly FindingOut[] {
  const { findings } = problem.more;
  return Array.isArray(findings) ? (findings as FindingOut[]) : [];
}
