import { Alert, Button, Code, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { CircleAlert } from "lucide-react";
import { getJobQueryKey, getRunQueryKey } from "@/api/generated/@tanstack/react-query.gen";
import { copyJob, emptyTrash, resumeJob } from "@/api/generated/sdk.gen";
import type { ActionShown, JobDetails } from "@/api/generated/types.gen";
import { problemOf } from "@/api/problem";
import { bytes } from "@/shared/format";
import { TrainLink } from "./train-link";

interface Props {
  runId: string;
  message: string;
  job: JobDetails | undefined;
}

/** Why a run failed, and the ways on that the server knows for that cause. */
export function Failure({ runId, message, job }: Props) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const act = useMutation({
    meta: { tellsItself: true },
    mutationFn: async (action: ActionShown) => {
      const path = { job_id: runId };
      if (action.do === "resume")
        await resumeJob({ path, body: { changes: action.changes, from_step: action.from_step } });
      else if (action.do === "copy") return (await copyJob({ path, body: { changes: action.changes } })).data.id;
      else if (action.do === "empty_trash") {
        const freed = (await emptyTrash({ body: {} })).data;
        notifications.show({ title: "The trash is empty", message: `${bytes(freed.freed_bytes)} are free again.` });
      }
      return null;
    },
    onSuccess: async (copied) => {
      void queries.invalidateQueries({ queryKey: getJobQueryKey({ path: { job_id: runId } }) });
      void queries.invalidateQueries({ queryKey: getRunQueryKey({ path: { run_id: runId } }) });
      if (copied) await navigate({ to: `/runs/${copied}` });
    },
  });
  const ways = job?.actions ?? [];
  return (
    <Alert color="red" icon={<CircleAlert aria-hidden />} title="This run failed">
      <Stack gap="sm" align="flex-start">
        <Text size="sm" style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>
          {job?.cause?.message ?? message}
        </Text>
        {ways.length > 0 && (
          <Group gap="xs">
            {ways.map((way, index) => (
              <Way
                key={way.title}
                way={way}
                isFirst={index === 0}
                runId={runId}
                isBusy={act.isPending && act.variables === way}
                act={() => act.mutate(way)}
              />
            ))}
          </Group>
        )}
        {ways.some((way) => Object.keys(way.changes).length > 0) && (
          <Text size="xs" c="dimmed">
            What these buttons change:{" "}
            {ways
              .flatMap((way) => Object.entries(way.changes))
              .map(([path, value]) => (
                <Code key={path} mr={6}>
                  {path}: {JSON.stringify(value)}
                </Code>
              ))}
          </Text>
        )}
        {act.error && (
          <Text size="sm" c="var(--said-error)" role="alert">
            {problemOf(act.error).message}
          </Text>
        )}
      </Stack>
    </Alert>
  );
}

function Way(props: { way: ActionShown; isFirst: boolean; runId: string; isBusy: boolean; act: () => void }) {
  const { way, isFirst, runId } = props;
  const look = { size: "xs", variant: isFirst ? "filled" : "default", color: isFirst ? "red.9" : undefined };
  if (way.do === "open_page")
    return (
      <Button {...look} component="a" href={way.url ?? "#"} target="_blank" rel="noreferrer">
        {way.title}
      </Button>
    );
  if (way.do === "set_token")
    return (
      <Button {...look} component={Link} to="/settings">
        {way.title}
      </Button>
    );
  if (way.do === "edit")
    return (
      <Button {...look} renderRoot={(props) => <TrainLink {...props} from={runId} field={way.fields[0]} />}>
        {way.title}
      </Button>
    );
  return (
    <Button {...look} onClick={props.act} loading={props.isBusy}>
      {way.title}
    </Button>
  );
}
