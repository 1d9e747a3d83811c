import { Loader, RingProgress, Text, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { listJobsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { count, duration } from "@/shared/format";
import { doingWord, isWorking, progressOf } from "@/shared/jobs";
import classes from "./job-pill.module.css";

/** The job that works now, in the top bar: how far it is, and the way to its run. */
export function JobPill() {
  const { data = [] } = useQuery(listJobsOptions());
  const working = data.filter(isWorking);
  const job = working[0];
  if (!job) return null;
  const share = progressOf(job);
  const steps = job.total_steps ? `${count(job.step ?? 0)} of ${count(job.total_steps)}` : doingWord(job);
  const left = job.eta_seconds == null ? "" : `${duration(job.eta_seconds)} left`;
  const others = working.length > 1 ? `, and ${working.length - 1} more` : "";
  const said = `${job.name}: ${doingWord(job)}, ${job.total_steps ? `step ${steps}` : "no step yet"}${left && `, ${left}`}${others}`;
  return (
    <Tooltip label={said} multiline maw={320}>
      <Link to="/runs/$runId" params={{ runId: job.id }} className={classes.pill} aria-label={said}>
        {share === null ? (
          <Loader size={16} />
        ) : (
          <RingProgress size={20} thickness={3} sections={[{ value: 100 * share, color: "iris" }]} aria-hidden />
        )}
        <Text size="sm" fw={550} truncate maw="9rem" className={classes.name}>
          {job.name}
        </Text>
        <Text size="sm" c="dimmed" className={`numbers ${classes.steps}`}>
          {steps}
        </Text>
        {left && (
          <Text size="sm" c="dimmed" className={`numbers ${classes.left}`}>
            {left}
          </Text>
        )}
      </Link>
    </Tooltip>
  );
}
