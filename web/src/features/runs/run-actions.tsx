import { ActionIcon, Button, Menu } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import {
  Camera,
  Download,
  EllipsisVertical,
  ListPlus,
  Pause,
  Pencil,
  Play,
  Repeat,
  Save,
  Square,
  Trash2,
} from "lucide-react";
import {
  getJobQueryKey,
  getRunQueryKey,
  holdJobMutation,
  listRunsQueryKey,
  pauseJobMutation,
  releaseJobMutation,
  resumeJobMutation,
  sampleJobMutation,
  saveJobMutation,
  stopJobMutation,
} from "@/api/generated/@tanstack/react-query.gen";
import type { Facts, JobDetails } from "@/api/generated/types.gen";
import { serverUrl } from "@/api/setup";
import { askDelete } from "@/shared/delete-dialog";
import { isActive } from "@/shared/run-states";
import { useShortcut } from "@/shared/shortcuts";
import { removeRun } from "./remove-run";
import { TrainLink } from "./train-link";

interface Props {
  facts: Facts;
  state: string;
  job: JobDetails | undefined;
  editPrompts: () => void;
}

/** What can be done with a run now: the likely thing as a button, the rest in a menu. */
export function RunActions({ facts, state, job, editPrompts }: Props) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const refresh = () => {
    void queries.invalidateQueries({ queryKey: getJobQueryKey({ path: { job_id: facts.id } }) });
    void queries.invalidateQueries({ queryKey: getRunQueryKey({ path: { run_id: facts.id } }) });
    void queries.invalidateQueries({ queryKey: listRunsQueryKey() });
  };
  const path = { path: { job_id: facts.id } };
  const asked = (title: string, message: string) => ({
    onSuccess: () => {
      notifications.show({ title, message });
      refresh();
    },
  });
  const hold = useMutation({ ...holdJobMutation(), onSettled: refresh });
  const release = useMutation({ ...releaseJobMutation(), onSettled: refresh });
  const stop = useMutation({
    ...stopJobMutation(),
    ...asked("Stopping", "It saves a checkpoint first; it can go on from there."),
  });
  const pause = useMutation({ ...pauseJobMutation(), ...asked("Pausing", "It saves, then frees the device.") });
  const resume = useMutation({
    ...resumeJobMutation(),
    ...asked("In the queue again", "It goes on when its turn comes."),
  });
  const save = useMutation({
    ...saveJobMutation(),
    ...asked("Asked to save", "A LoRA file and a checkpoint come after this step."),
  });
  const sample = useMutation({ ...sampleJobMutation(), ...asked("Asked for samples", "They come after this step.") });

  const works = isActive(state) && job !== undefined;
  const isLeaving = job?.state === "stopping" || job?.state === "pausing";
  const canResume = job !== undefined && ["paused", "stopped", "failed", "finished"].includes(job.state);
  const isDone = state === "finished";
  useShortcut("s", "Make samples now", () => sample.mutate(path), { group: "Run", enabled: works && !isLeaving });

  const remove = () =>
    askDelete({
      what: `the run ${facts.name}`,
      about: "Its samples, checkpoints and LoRA files go with it.",
      bytes: facts.bytes,
      remove: async () => {
        const trashed = await removeRun(facts.id);
        await navigate({ to: "/runs" });
        void queries.invalidateQueries({ queryKey: listRunsQueryKey() });
        return [trashed];
      },
      onRestored: refresh,
    });

  return (
    <>
      {works && (
        <Button
          variant="default"
          leftSection={<Camera size={16} aria-hidden />}
          onClick={() => sample.mutate(path)}
          loading={sample.isPending}
          disabled={isLeaving}
        >
          Sample now
        </Button>
      )}
      {works && (
        <Button
          color="red"
          variant="light"
          leftSection={<Square size={16} aria-hidden />}
          onClick={() => stop.mutate(path)}
          loading={stop.isPending || isLeaving}
        >
          Stop
        </Button>
      )}
      {canResume && !isDone && (
        <Button
          leftSection={<Play size={16} aria-hidden />}
          onClick={() => resume.mutate({ ...path, body: {} })}
          loading={resume.isPending}
        >
          Resume
        </Button>
      )}
      {facts.exports > 0 && !works && (
        <Button
          component="a"
          href={serverUrl(`/api/runs/${facts.id}/lora`)}
          download
          variant={isDone ? "filled" : "default"}
          leftSection={<Download size={16} aria-hidden />}
        >
          Download LoRA
        </Button>
      )}
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon variant="default" size={36} aria-label="More about this run">
            <EllipsisVertical size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {works && (
            <>
              <Menu.Item leftSection={<Pause size={16} />} disabled={isLeaving} onClick={() => pause.mutate(path)}>
                Pause
              </Menu.Item>
              <Menu.Item leftSection={<Save size={16} />} disabled={isLeaving} onClick={() => save.mutate(path)}>
                Save now
              </Menu.Item>
              <Menu.Item leftSection={<Pencil size={16} />} disabled={isLeaving} onClick={editPrompts}>
                Edit the sample prompts
              </Menu.Item>
              <Menu.Divider />
            </>
          )}
          {(job?.state === "held" || job?.state === "waiting") && (
            <>
              <Menu.Item
                leftSection={job.state === "held" ? <Play size={16} /> : <Pause size={16} />}
                onClick={() => (job.state === "held" ? release : hold).mutate(path)}
              >
                {job.state === "held" ? "Release" : "Hold"}
              </Menu.Item>
              <Menu.Divider />
            </>
          )}
          <Menu.Item
            leftSection={<Repeat size={16} />}
            renderRoot={(props) => <TrainLink {...props} from={facts.id} />}
          >
            Run again with changes
          </Menu.Item>
          <Menu.Item
            leftSection={<ListPlus size={16} />}
            renderRoot={(props) => <Link {...props} to="/runs" search={{ ids: [facts.id] }} />}
          >
            Compare with other runs
          </Menu.Item>
          <Menu.Divider />
          <Menu.Item
            c="var(--said-error)"
            leftSection={<Trash2 size={16} />}
            disabled={isActive(state)}
            onClick={remove}
          >
            Delete
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
    </>
  );
}
