import {
  ActionIcon,
  Anchor,
  Breadcrumbs,
  Button,
  Group,
  Modal,
  NavLink,
  ScrollArea,
  Skeleton,
  Stack,
  Text,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { File, Folder, RefreshCw } from "lucide-react";
import { useState } from "react";
import { listFilesOptions, listRootsOptions } from "@/api/generated/@tanstack/react-query.gen";
import { bytes } from "@/shared/format";
import { Failed } from "@/shared/states";

interface Place {
  root: string;
  path: string;
}

const MOST = 500;

/** The folders of the server's machine, to take a file or a folder from. */
export function PathPicker(props: { opened: boolean; close: () => void; label: string; pick: (path: string) => void }) {
  return (
    <Modal
      opened={props.opened}
      onClose={props.close}
      title={`Pick: ${props.label}`}
      size="lg"
      closeButtonProps={{ "aria-label": "Close" }}
    >
      {props.opened && <Inside {...props} />}
    </Modal>
  );
}

function Inside({ close, pick }: { close: () => void; pick: (path: string) => void }) {
  const [place, setPlace] = useState<Place | null>(null);
  const roots = useQuery(listRootsOptions());
  const here = place ?? { root: "", path: "" };
  const folder = useQuery({
    ...listFilesOptions({ query: { ...here, limit: MOST } }),
    enabled: place !== null,
  });
  const root = roots.data?.roots.find((each) => each.id === place?.root);
  const take = (path: string) => {
    if (!root) return;
    pick(path ? `${root.path}/${path}` : root.path);
    close();
  };
  const error = roots.error ?? folder.error;
  const isPending = place === null ? roots.isPending : folder.isPending;
  const steps = place?.path ? place.path.split("/") : [];
  return (
    <Stack gap="sm">
      <Group justify="space-between" wrap="nowrap">
        <Breadcrumbs separatorMargin={6}>
          <Anchor component="button" size="sm" onClick={() => setPlace(null)}>
            Folders
          </Anchor>
          {root && (
            <Anchor component="button" size="sm" onClick={() => setPlace({ root: root.id, path: "" })}>
              {root.name}
            </Anchor>
          )}
          {steps.map((step, i) => (
            <Anchor
              key={steps.slice(0, i + 1).join("/")}
              component="button"
              size="sm"
              onClick={() => setPlace({ root: here.root, path: steps.slice(0, i + 1).join("/") })}
            >
              {step}
            </Anchor>
          ))}
        </Breadcrumbs>
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label="Look again"
          loading={folder.isFetching || roots.isFetching}
          onClick={() => void (place ? folder.refetch() : roots.refetch())}
        >
          <RefreshCw size={16} aria-hidden />
        </ActionIcon>
      </Group>
      {error && <Failed error={error} again={() => void (place ? folder.refetch() : roots.refetch())} />}
      <ScrollArea h="20rem" type="auto">
        {isPending && !error && <Skeleton h="8rem" />}
        {place === null
          ? roots.data?.roots.map((each) => (
              <NavLink
                key={each.id}
                component="button"
                label={each.name}
                description={each.path}
                leftSection={<Folder size={18} aria-hidden />}
                rightSection={
                  <Text size="xs" c="dimmed">
                    {bytes(each.free_bytes)} free
                  </Text>
                }
                onClick={() => setPlace({ root: each.id, path: "" })}
              />
            ))
          : folder.data?.entries.map((each) => (
              <NavLink
                key={each.path}
                component="button"
                label={each.name}
                leftSection={each.kind === "folder" ? <Folder size={18} aria-hidden /> : <File size={18} aria-hidden />}
                rightSection={
                  each.size_bytes !== null && (
                    <Text size="xs" c="dimmed">
                      {bytes(each.size_bytes)}
                    </Text>
                  )
                }
                onClick={() =>
                  each.kind === "folder" ? setPlace({ root: here.root, path: each.path }) : take(each.path)
                }
              />
            ))}
        {place && folder.data?.total === 0 && (
          <Text c="dimmed" size="sm" p="md">
            This folder is empty.
          </Text>
        )}
        {folder.data && folder.data.total > MOST && (
          <Text c="dimmed" size="sm" p="md">
            The first {MOST} of {folder.data.total} are shown.
          </Text>
        )}
      </ScrollArea>
      <Group justify="flex-end">
        <Button variant="default" onClick={close}>
          Cancel
        </Button>
        <Button disabled={!root} onClick={() => take(here.path)}>
          Take this folder
        </Button>
      </Group>
    </Stack>
  );
}
