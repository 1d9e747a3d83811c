import { ActionIcon, Anchor, Badge, Card, Center, Group, Menu, Progress, Stack, Text } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { EllipsisVertical, ImageOff, Pencil, Trash2, TriangleAlert } from "lucide-react";
import type { DatasetOut } from "@/api/generated/types.gen";
import { bytes, plural } from "@/shared/format";
import { Thumb } from "../thumb";
import classes from "./dataset-card.module.css";

/** A dataset as its card: what it looks like, how much it is, how far its captions are. */
export function DatasetCard(props: { dataset: DatasetOut; rename: () => void; remove: () => void }) {
  const { dataset } = props;
  const known = dataset.summary;
  return (
    <Card withBorder padding={0} className={classes.card} component="article" aria-label={dataset.name}>
      <div className={classes.cover}>
        {known?.cover ? (
          <Thumb datasetId={dataset.id} item={known.cover} size={512} stamp={String(known.changed_ns)} />
        ) : (
          <Center h="100%" c="dimmed">
            <ImageOff size={28} aria-hidden />
          </Center>
        )}
      </div>
      <Stack gap={8} p="sm">
        <Group justify="space-between" wrap="nowrap" gap="xs">
          <Anchor
            renderRoot={(rest) => <Link {...rest} to="/datasets/$datasetId" params={{ datasetId: dataset.id }} />}
            className={classes.link}
            fw={600}
            c="var(--mantine-color-text)"
            underline="never"
            title={dataset.name}
          >
            {dataset.name}
          </Anchor>
          <Menu position="bottom-end" withinPortal>
            <Menu.Target>
              <ActionIcon
                variant="subtle"
                color="gray"
                className={classes.menu}
                aria-label={`More for ${dataset.name}`}
              >
                <EllipsisVertical size={16} aria-hidden />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<Pencil size={14} aria-hidden />} onClick={props.rename}>
                Rename
              </Menu.Item>
              <Menu.Item c="var(--said-error)" leftSection={<Trash2 size={14} aria-hidden />} onClick={props.remove}>
                Move to trash
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
        {known ? (
          <>
            <Text size="sm" c="dimmed" className="numbers">
              {plural(known.pictures, "picture")} · {bytes(known.bytes)}
            </Text>
            <Captioned captioned={known.captioned} pictures={known.pictures} />
            <Problems count={known.problems} />
          </>
        ) : (
          <Text size="sm" c="dimmed">
            Looking at the folder…
          </Text>
        )}
      </Stack>
    </Card>
  );
}

function Captioned(props: { captioned: number; pictures: number }) {
  const share = props.pictures === 0 ? 0 : props.captioned / props.pictures;
  // Rounded down: only all of them are 100 %.
  const said = props.pictures === 0 ? "No pictures yet" : `${Math.floor(100 * share)} % captioned`;
  return (
    <Stack gap={4}>
      <Text size="xs" c="dimmed" className="numbers">
        {said}
      </Text>
      <Progress size="xs" value={100 * share} aria-label={said} />
    </Stack>
  );
}

function Problems(props: { count: number }) {
  // The row stays where there are none, so that cards in a row are equally high.
  if (props.count === 0) {
    return (
      <Text size="xs" c="dimmed" lh="1.25rem">
        No problems found
      </Text>
    );
  }
  return (
    <Badge
      variant="light"
      color="orange"
      size="sm"
      tt="none"
      leftSection={<TriangleAlert size={12} aria-hidden />}
      className="numbers"
      styles={{ label: { color: "light-dark(#8a3a00, var(--mantine-color-orange-2))" } }}
    >
      {plural(props.count, "problem")}
    </Badge>
  );
}
