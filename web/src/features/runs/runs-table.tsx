import { Anchor, Badge, Checkbox, Group, Progress, Stack, Table, Text, UnstyledButton } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { ArrowDown, ArrowUp } from "lucide-react";
import type { Facts } from "@/api/generated/types.gen";
import { useArchitectureTitles } from "@/shared/architectures";
import { ago, count, duration, significant } from "@/shared/format";
import { isActive } from "@/shared/run-states";
import { StateBadge } from "@/shared/state-badge";
import { type RowsProps, secondsOf, shareOf, speedText } from "./rows";
import { RunThumb } from "./run-thumb";
import classes from "./runs.module.css";
import type { Sort } from "./search";

const RIGHT = { textAlign: "right" as const };

export function RunsTable({ runs, search, onChange, picked, pick }: RowsProps) {
  const sort = search.sort ?? "created";
  const head = (key: Sort, label: string, isNumber = false) => {
    const isIt = sort === key;
    return (
      <Table.Th
        style={isNumber ? RIGHT : undefined}
        aria-sort={isIt ? (search.up ? "ascending" : "descending") : undefined}
      >
        <UnstyledButton
          className={classes.sort}
          fz="inherit"
          onClick={() =>
            onChange({ sort: key === "created" ? undefined : key, up: isIt && !search.up ? true : undefined })
          }
        >
          {label}
          {isIt && (search.up ? <ArrowUp size={14} aria-hidden /> : <ArrowDown size={14} aria-hidden />)}
        </UnstyledButton>
      </Table.Th>
    );
  };
  return (
    <Table.ScrollContainer minWidth={900}>
      <Table verticalSpacing="xs" highlightOnHover className={classes.table}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={40} aria-label="Compare" />
            {head("name", "Run")}
            {head("state", "Status")}
            {head("step", "Step", true)}
            {head("loss", "Loss", true)}
            {head("validation_loss", "Validation", true)}
            {head("iterations_per_second", "Time and speed", true)}
            {head("created", "Begun", true)}
            <Table.Th>Tags and notes</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {runs.map((run) => (
            <Row key={run.id} run={run} isPicked={picked.includes(run.id)} pick={pick} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Row({ run, isPicked, pick }: { run: Facts; isPicked: boolean; pick: RowsProps["pick"] }) {
  const share = shareOf(run);
  const titleOf = useArchitectureTitles();
  return (
    <Table.Tr className={classes.row} data-picked={isPicked || undefined}>
      <Table.Td>
        <Checkbox
          aria-label={`Select ${run.name}`}
          checked={isPicked}
          onChange={(event) => pick(run.id, event.currentTarget.checked)}
        />
      </Table.Td>
      <Table.Td>
        <Group gap="sm" wrap="nowrap">
          <RunThumb run={run} />
          <Stack gap={0} miw={0}>
            <Anchor component={Link} to={`/runs/${run.id}`} className={classes.name} size="sm">
              {run.name}
            </Anchor>
            <Text size="xs" c="dimmed">
              {[titleOf(run.architecture), run.network].filter(Boolean).join(" · ") || "–"}
            </Text>
          </Stack>
        </Group>
      </Table.Td>
      <Table.Td>
        <StateBadge state={run.state} />
      </Table.Td>
      <Table.Td style={RIGHT} className={classes.line}>
        {count(run.step)}
        <Text span c="dimmed" inherit>
          {" / "}
          {count(run.total_steps)}
        </Text>
        {isActive(run.state) && share !== null && (
          <Progress value={100 * share} size={4} mt={4} aria-label={`${run.name}: ${Math.round(100 * share)} %`} />
        )}
      </Table.Td>
      <Table.Td style={RIGHT}>{significant(run.loss)}</Table.Td>
      <Table.Td style={RIGHT}>{significant(run.validation_loss)}</Table.Td>
      <Table.Td style={RIGHT}>
        {duration(secondsOf(run))}
        <Text size="xs" c="dimmed" className={classes.line}>
          {speedText(run.iterations_per_second)}
        </Text>
      </Table.Td>
      <Table.Td style={RIGHT}>
        <Text size="sm" style={{ whiteSpace: "nowrap" }} title={new Date(run.created).toLocaleString("en")}>
          {ago(run.created)}
        </Text>
      </Table.Td>
      <Table.Td maw="16rem">
        <Group gap={4}>
          {run.tags.map((tag) => (
            <Badge key={tag} variant="default" size="sm" tt="none" fw={500}>
              {tag}
            </Badge>
          ))}
        </Group>
        <Text size="xs" c={run.error ? "var(--said-error)" : "dimmed"} lineClamp={2}>
          {run.error ?? run.notes}
        </Text>
      </Table.Td>
    </Table.Tr>
  );
}
