import { List, Stack, Text } from "@mantine/core";
import * as z from "zod/mini";
import type { TaskReport } from "@/api/generated/types.gen";
import { plural } from "@/shared/format";

const SHOWN = 20;

/** What an import says of itself; a task's result has a form for each kind of task. */
const schema = z.object({
  pictures: z.number(),
  captions: z.number(),
  other_files: z.number(),
  renamed_count: z.number(),
  renamed: z.array(z.object({ name: z.string(), new_name: z.string(), reason: z.string() })),
  left_out_count: z.number(),
  left_out: z.array(z.object({ name: z.string(), reason: z.string() })),
  replaced: z.number(),
  notes: z.array(z.string()),
});

export type Report = z.infer<typeof schema>;

export function reportOf(task: TaskReport): Report | null {
  return schema.safeParse(task.result).data ?? null;
}

/** What came in, what was renamed and what was left out, each with the reason. */
export function ImportReportView(props: { report: Report }) {
  const { report } = props;
  return (
    <Stack gap={4}>
      {report.other_files > 0 && <Text size="sm">{plural(report.other_files, "other file")} came along.</Text>}
      {report.replaced > 0 && (
        <Text size="sm">{plural(report.replaced, "file")} replaced; the old ones are in the trash.</Text>
      )}
      {report.notes.map((note) => (
        <Text key={note} size="sm">
          {note}
        </Text>
      ))}
      <Lines
        title={`${plural(report.left_out_count, "file was", "files were")} left out`}
        total={report.left_out_count}
        lines={report.left_out.map((each) => `${each.name}: ${each.reason}`)}
      />
      <Lines
        title={`${plural(report.renamed_count, "file was", "files were")} renamed`}
        total={report.renamed_count}
        lines={report.renamed.map((each) => `${each.name} is now ${each.new_name}: ${each.reason}`)}
      />
    </Stack>
  );
}

function Lines(props: { title: string; total: number; lines: readonly string[] }) {
  if (props.total === 0) return null;
  return (
    <details>
      <Text component="summary" size="sm" style={{ cursor: "pointer" }}>
        {props.title}
      </Text>
      <List size="sm" mt={4}>
        {props.lines.slice(0, SHOWN).map((line) => (
          <List.Item key={line} style={{ overflowWrap: "anywhere" }}>
            {line}
          </List.Item>
        ))}
        {props.total > SHOWN && <List.Item>and {props.total - SHOWN} more</List.Item>}
      </List>
    </details>
  );
}
