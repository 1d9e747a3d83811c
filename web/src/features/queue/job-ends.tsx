import { Button, Group, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef } from "react";
import { listJobsOptions } from "@/api/generated/@tanstack/react-query.gen";
import type { JobShown } from "@/api/generated/types.gen";
import { isWorking } from "@/shared/jobs";
import { mayOfferNotices, showNotice, turnNotices } from "@/shared/notices";
import { addUnread } from "@/shared/title";

/** Says when a job ends, wherever one is; and offers once, when one begins, to say it through the browser, too. */
export function JobEnds() {
  const { data } = useQuery(listJobsOptions());
  const navigate = useNavigate();
  const before = useRef<Map<string, JobShown> | null>(null);
  useEffect(() => {
    if (!data) return;
    const known = before.current;
    before.current = new Map(data.map((job) => [job.id, job]));
    if (!known) return;
    for (const job of data) {
      const was = known.get(job.id);
      const end = was && isWorking(was) ? endOf(job) : null;
      if (end) {
        const open = () => void navigate({ to: "/runs/$runId", params: { runId: job.id } });
        tell(job, end, open);
        showNotice({ title: end.title, body: job.name, about: job.id, onClick: open });
        if (end.stays) addUnread();
      }
      if (isWorking(job) && !(was && isWorking(was)) && mayOfferNotices()) offer();
    }
  }, [data, navigate]);
  return null;
}

interface End {
  title: string;
  color: string;
  stays: boolean;
}

/** How an end is told; null for what is none. What somebody stopped himself needs no words. */
export function endOf(job: Pick<JobShown, "state">): End | null {
  if (job.state === "finished") return { title: "Training finished", color: "green", stays: true };
  if (job.state === "failed") return { title: "Training failed", color: "red", stays: true };
  if (job.state === "stopped") return { title: "Training stopped", color: "gray", stays: false };
  if (job.state === "paused") return { title: "Training paused", color: "gray", stays: false };
  return null;
}

function tell(job: JobShown, end: End, open: () => void): void {
  const id = `end ${job.id}`;
  notifications.show({
    id,
    title: end.title,
    color: end.color,
    autoClose: end.stays ? false : 6_000,
    message: (
      <Group justify="space-between" gap="sm" wrap="nowrap">
        <Text size="sm" lineClamp={3}>
          {job.state === "failed" && job.cause ? `${job.name}: ${job.cause.message}` : job.name}
        </Text>
        <Button
          size="compact-sm"
          variant="light"
          flex="none"
          onClick={() => {
            notifications.hide(id);
            open();
          }}
        >
          Open
        </Button>
      </Group>
    ),
  });
}

function offer(): void {
  const id = "offer of notices";
  let answered = false;
  // Closing it is a no, too: it is offered once.
  const answer = (on: boolean) => () => {
    if (answered) return;
    answered = true;
    notifications.hide(id);
    void turnNotices(on);
  };
  notifications.show({
    id,
    title: "Shall the browser tell you when it ends?",
    autoClose: false,
    onClose: answer(false),
    message: (
      <Group gap="xs" mt={4}>
        <Button size="compact-sm" onClick={answer(true)}>
          Yes, tell me
        </Button>
        <Button size="compact-sm" variant="default" onClick={answer(false)}>
          No
        </Button>
        <Text size="xs" c="dimmed">
          Settings can change it.
        </Text>
      </Group>
    ),
  });
}
